/// One row of the published catalogue.
struct CauseRow {
  var name: String
  var sipStatus: Int
  var q850: Int
  var meaning: String
  var remedy: String

  init(_ name: String, _ sipStatus: Int, _ q850: Int, _ meaning: String, _ remedy: String) {
    self.name = name
    self.sipStatus = sipStatus
    self.q850 = q850
    self.meaning = meaning
    self.remedy = remedy
  }
}

extension Cause {
  /// One table, as long as the catalogue; a switch, so that a cause without a row does not compile.
  ///
  /// The pairs of SIP and Q.850 numbers follow RFC 3398 §7.2.4.1 and §8.2.6.1 where those have one.
  var row: CauseRow {
    switch self {
    case .normalClearing:
      CauseRow(
        "normal-clearing", 200, 16, "One of the two parties hung up after the call was answered.",
        "Nothing: this is how a call ends.")
    case .cancelled:
      CauseRow(
        "cancelled", 487, 16, "The caller gave up before anybody answered.",
        "Nothing, unless it happens often: then compare the ringing time with the timeouts.")
    case .busy:
      CauseRow(
        "busy", 486, 17, "The called party is in another call.",
        "Call later, or add a further destination that continues on busy.")
    case .noAnswer:
      CauseRow(
        "no-answer", 480, 19, "The called party was alerted and did not answer in time.",
        "Raise the hop's timeout, or add a further destination that continues on no-answer.")
    case .rejectedByUser:
      CauseRow(
        "rejected-by-user", 603, 21, "The called party declined the call.",
        "Where declined calls should go on, add a destination that continues on rejected-by-user.")
    case .unreachable:
      CauseRow(
        "unreachable", 480, 18, "The called party's registered phone did not respond at all.",
        "Check the phone's network; a shorter registration interval removes dead phones sooner.")
    case .notRegistered:
      CauseRow(
        "not-registered", 480, 20, "The called user has no phone registered.",
        "Register a phone (demarc registrations shows who is), or add a further destination.")
    case .numberUnknown:
      CauseRow(
        "number-unknown", 404, 1, "The dialled number does not exist.",
        "Check the number as received (demarc call show); add it under numbers or as an extension.")
    case .noRoute:
      CauseRow(
        "no-route", 404, 3, "No prefix of the tenant's dial plan matches the dialled number.",
        "Add a route whose prefix matches the number as dialled.")
    case .allRoutesFailed:
      CauseRow(
        "all-routes-failed", 503, 38, "Each carrier or destination of the chain failed in turn.",
        "Read the call's attempts (demarc call show): each has its own cause.")
    case .addressIncomplete:
      CauseRow(
        "address-incomplete", 484, 28, "The dialled number is empty or too short.",
        "Dial the whole number; a phone that dials digit by digit needs a dial plan of its own.")
    case .authenticationRequired:
      CauseRow(
        "authentication-required", 401, 57, "The request carried no credentials.",
        "Give the phone or PBX its username and password; most send them when asked.")
    case .authenticationFailed:
      CauseRow(
        "authentication-failed", 403, 21, "The username or the password was wrong.",
        "Compare username, password and realm on both sides.")
    case .forbidden:
      CauseRow(
        "forbidden", 403, 57, "The caller is known, and may not do this.",
        "Check that the user or trunk belongs to the tenant and network that it calls through.")
    case .sourceUnknown:
      CauseRow(
        "source-unknown", 403, 21,
        "No trunk or user of this network is known at the source address.",
        "Add the address under the trunk's sources, or give the trunk authentication.")
    case .trunkCallLimit:
      CauseRow(
        "trunk-call-limit", 503, 34,
        "The trunk already carries as many calls as its maxCalls allows.",
        "Raise maxCalls, or find the calls that hang (demarc calls).")
    case .trunkRateLimit:
      CauseRow(
        "trunk-rate-limit", 503, 42,
        "Calls arrive faster than the trunk's callsPerSecond or callsPerMinute allows.",
        "Raise the limit, or let the sender spread its calls.")
    case .capacity:
      CauseRow(
        "capacity", 503, 42, "This process is at its limit of concurrent calls or transactions.",
        "Raise limits in demarc.yaml if memory allows, or add a process.")
    case .portsExhausted:
      CauseRow(
        "ports-exhausted", 503, 47, "No media port pair of the network is free.",
        "Widen the port range of the network's media addresses: two ports a leg.")
    case .recordsStalled:
      CauseRow(
        "records-stalled", 503, 41,
        "Call records cannot be written to disk, so new calls are refused.",
        "Check the disk that holds the store: space, permissions, errors in the log.")
    case .draining:
      CauseRow(
        "draining", 503, 31,
        "The process is shutting down, or the listener has been taken out of use, and takes no new calls.",
        "Send the call to another process or listener, or wait for the restart.")
    case .malformed:
      CauseRow(
        "malformed", 400, 95, "The request breaks the grammar of SIP or SDP.",
        "The log names the header and the byte; report it to the sender's vendor.")
    case .messageTooLarge:
      CauseRow(
        "message-too-large", 513, 127, "The message is larger than this process accepts.",
        "Let the sender drop codecs and headers that it does not need.")
    case .extensionUnsupported:
      CauseRow(
        "extension-unsupported", 420, 127,
        "The request requires a SIP extension that we do not have.",
        "Switch the extension named in the Unsupported header off, or from required to supported.")
    case .methodUnsupported:
      CauseRow(
        "method-unsupported", 405, 63, "The request's method is not one that we serve here.",
        "Use a method of the response's Allow header.")
    case .loopDetected:
      CauseRow(
        "loop-detected", 482, 25, "The call came back to where it had already been.",
        "Check forwards on both sides: two numbers lead to each other.")
    case .tooManyHops:
      CauseRow(
        "too-many-hops", 483, 25, "The request passed more proxies than Max-Forwards allows.",
        "Look for a routing loop between this trunk and its neighbours.")
    case .mediaUnacceptable:
      CauseRow(
        "media-unacceptable", 488, 65, "The two sides have no media format in common.",
        "Allow a codec that both have under the trunk's codecs.")
    case .contentUnsupported:
      CauseRow(
        "content-unsupported", 415, 79,
        "The body's type or encoding is not one that we understand.",
        "Send the offer as application/sdp without encoding.")
    case .carrierTimeout:
      CauseRow(
        "carrier-timeout", 504, 102, "The carrier gave no response in the route's timeout.",
        "Check that the target address and port are right and reachable; add a second carrier.")
    case .carrierUnavailable:
      CauseRow(
        "carrier-unavailable", 503, 41,
        "The carrier answered that it cannot serve calls now (5xx).",
        "Add a second carrier to the route; ask the carrier.")
    case .carrierRejected:
      CauseRow(
        "carrier-rejected", 502, 21,
        "The carrier or PBX refused the call; the attempt has its status.",
        "Check credentials, caller number and number format with the status of the attempt.")
    case .transportFailed:
      CauseRow(
        "transport-failed", 502, 27, "The message could not be sent, or the host refused it.",
        "Check routing and firewall to the target, and that a listener has its address family.")
    case .completedElsewhere:
      CauseRow(
        "completed-elsewhere", 487, 26,
        "Another phone or destination that rang at the same time answered or declined the call.",
        "Nothing: each of an attempt's branches has its own line, and only one can have the call.")
    case .trunkNotRegistered:
      CauseRow(
        "trunk-not-registered", 503, 27,
        "The trunk registers with its provider, and is not registered now.",
        "See `demarc registrations --upstream` for the reason.")
    case .forwarded:
      CauseRow(
        "forwarded", 480, 23, "The called phone or trunk sent the call on to somebody else (3xx).",
        "Nothing: the attempts that follow name who forwarded them.")
    case .mediaTimeout:
      CauseRow(
        "media-timeout", 408, 102,
        "No speech arrived for the media timeout while none was on hold.",
        "Check NAT and firewall for the media ports; raise mediaTimeout for peers that send no silence."
      )
    case .hungUpByOperator:
      CauseRow(
        "hung-up-by-operator", 480, 31, "An operator ended the call.",
        "Nothing: somebody used demarc call hangup or the API.")
    case .acknowledgementMissing:
      CauseRow(
        "acknowledgement-missing", 408, 102, "The caller never acknowledged the answer (no ACK).",
        "Our Contact did not reach the caller: check advertisedSignalling and the NAT on the way.")
    case .interrupted:
      CauseRow(
        "interrupted", 503, 41, "The process stopped while the call was up.",
        "Look for the reason of the stop in the log; the end time is the last one written.")
    case .sessionExpired:
      CauseRow(
        "session-expired", 408, 102,
        "One side no longer answered or refreshed the call's session timer.",
        "The side that vanished is in the record: check its network, or a NAT that forgot the phone."
      )
    case .sessionIntervalTooSmall:
      CauseRow(
        "session-interval-too-small", 422, 127,
        "The session timer that was asked for is shorter than minSessionExpires.",
        "Let the sender ask for more, or lower minSessionExpires (90s is the least there is).")
    case .provisionalUnacknowledged:
      CauseRow(
        "provisional-unacknowledged", 504, 102,
        "The caller never acknowledged a reliable provisional response (no PRACK).",
        "Check that the caller's PRACK reaches our Contact; or switch 100rel off on the caller's side."
      )
    case .internalFault:
      CauseRow(
        "internal-fault", 500, 41, "A fault of this program ended the call.",
        "Report it with the log line of the same call id.")
    case .numberInvalid:
      CauseRow(
        "number-invalid", 484, 28,
        "The dialled number is none in the plan of numbers that its sender has.",
        "Compare the number as dialled (demarc call show) with the plan under numbers.")
    case .callerRefused:
      CauseRow(
        "caller-refused", 403, 21, "The caller's number is none that the trunk may call from.",
        "Send one of the tenant's numbers, add it under callerID.numbers, or give callerID a default."
      )
    case .tenantCallLimit:
      CauseRow(
        "tenant-call-limit", 503, 34, "The tenant has as many calls as its maxCalls allows.",
        "Raise the tenant's maxCalls, or find the calls that hang (demarc calls).")
    case .tenantRateLimit:
      CauseRow(
        "tenant-rate-limit", 503, 42,
        "The tenant's calls come faster than its callsPerSecond allows.",
        "Raise the tenant's callsPerSecond, or let its systems spread their calls.")
    case .userCallLimit:
      CauseRow(
        "user-call-limit", 480, 34, "The user makes as many calls as its maxCalls allows.",
        "Raise the user's maxCalls, or end one of its calls.")
    case .userRateLimit:
      CauseRow(
        "user-rate-limit", 480, 42, "The user's calls come faster than its callsPerSecond allows.",
        "Raise the user's callsPerSecond; a stolen password looks like this too.")
    case .classCallLimit:
      CauseRow(
        "class-call-limit", 403, 34,
        "As many calls go to numbers of this class as its maxCalls allows.",
        "Raise maxCalls of the class whose prefix the number has.")
    case .classRateLimit:
      CauseRow(
        "class-rate-limit", 403, 42,
        "Calls to numbers of this class come faster than its callsPerSecond allows.",
        "Raise callsPerSecond of the class whose prefix the number has.")
    case .linesBusy:
      CauseRow(
        "lines-busy", 486, 17, "Every line of the trunk's pool is taken.",
        "Add lines to the pool, or let whenFull be next where there is another way out.")
    case .poolFull:
      CauseRow(
        "pool-full", 503, 34,
        "Every line of the trunk's pool is taken, and no other way out is left.",
        "Add lines to the pool, or a carrier outside of it to the route.")
    case .nameUnresolved:
      CauseRow(
        "name-unresolved", 503, 38,
        "No address was found in time for the name that the trunk's targets have.",
        "Ask DNS for the name by hand (dig NAPTR, SRV, A), and check dns in demarc.yaml.")
    case .overload:
      CauseRow(
        "overload", 503, 42,
        "More came than could be handled in time, so a part of the new calls is refused.",
        "See demarc status for how long messages wait; give the process more CPU, or add one.")
    case .transferRefused:
      CauseRow(
        "transfer-refused", 403, 21,
        "Somebody asked to hand a call on who may not, or outside of a call that could be.",
        "Set transfer: allow for the user or trunk, where it is to transfer calls.")
    case .transferFailed:
      CauseRow(
        "transfer-failed", 480, 20,
        "A call was handed on and its transferor gone when it turned out that nobody takes it.",
        "See the call to the target for why; most phones wait for the outcome where they are set to."
      )
    case .transferred:
      CauseRow(
        "transferred", 487, 16, "The last party of this call handed it on; it goes on in others.",
        "Nothing: the notes name the calls.")
    case .numberUnassigned:
      CauseRow(
        "number-unassigned", 404, 1, "The dialled number is in stock: nobody has it.",
        "Give it to somebody: demarc numbers assign.")
    case .numberSuspended:
      CauseRow(
        "number-suspended", 480, 31, "The dialled number is suspended.",
        "Let it lead to its destinations again: demarc numbers resume.")
    case .eventUnsupported:
      CauseRow(
        "event-unsupported", 489, 79,
        "Somebody subscribed to events of a kind that there is not here.",
        "Switch presence or the like off on the phone; dialog, message-summary and reg there are.")
    case .subscriptionRefused:
      CauseRow(
        "subscription-refused", 403, 21,
        "Somebody subscribed to the state of a user who does not let them, or does not exist.",
        "See busyLamp and pickup of the user that is watched; reg and mailbox are their owner's alone."
      )
    case .subscriptionLimit:
      CauseRow(
        "subscription-limit", 480, 42, "The user has as many subscriptions as one may have.",
        "See demarc subscriptions for which; a phone that forgets and asks anew looks like this.")
    case .insecureTransport:
      CauseRow(
        "insecure-transport", 403, 21,
        "The user's phones must come by TLS, and this one came by something else.",
        "Set the phone to TLS and the port of a listener of TLS, or the user's transport to any.")
    case .registrarUnavailable:
      CauseRow(
        "registrar-unavailable", 503, 38,
        "The PBX that keeps this phone's registration gave no answer, or cannot take it now.",
        "See demarc trunks for what is known of the PBX's addresses; phones come back by themselves."
      )
    case .srtpRequired:
      CauseRow(
        "srtp-required", 488, 65,
        "SRTP is required on this side of the call, and its far end offered or answered plain RTP.",
        "Switch SRTP (SDES, or DTLS) on in the phone or PBX, or set its srtp to allow.")
    case .srtpRefused:
      CauseRow(
        "srtp-refused", 488, 65,
        "The far end offered SRTP alone, and srtp is off for it.",
        "Set srtp to allow or require for the trunk or user, or let the far end offer plain RTP.")
    case .srtpUnsupported:
      CauseRow(
        "srtp-unsupported", 488, 65,
        "The far end's SRTP has no key, suite or certificate fingerprint in SDP that can be used.",
        "Let it offer SDES keys with AES_CM_128_HMAC_SHA1_80, or DTLS with a sha-256 fingerprint.")
    case .srtpWithoutTLS:
      CauseRow(
        "srtp-without-tls", 488, 65,
        "SRTP is required, and its keys would travel in signalling that can be read on its way.",
        "Reach or register the far end by TLS, or set srtpKeys to dtls or srtpWithoutTLS to true.")
    case .destinationDenied:
      CauseRow(
        "destination-denied", 403, 21,
        "Whoever makes, forwards or transfers the call may not call numbers of this class.",
        "The notes (demarc call show) name the class; add it under mayCall of the user, trunk or tenant."
      )
    case .costlyLimit:
      CauseRow(
        "costly-limit", 403, 42,
        "Costly calls (all that are not domestic) are at a limit of costlyCalls.",
        "The notes say which; raise it where such calls are meant, else change the password.")
    case .accountBlocked:
      CauseRow(
        "account-blocked", 403, 21,
        "Outside calls of this user or trunk are blocked since it came to a limit of costlyCalls.",
        "Find out who called; then demarc toll unblock.")
    case .durationLimit:
      CauseRow(
        "duration-limit", 480, 31, "The call had lasted as long as maxCallDuration allows.",
        "Raise maxCallDuration of the user, trunk or tenant, where longer calls are meant.")
    case .identityMissing:
      CauseRow(
        "identity-missing", 428, 21, "The call came without a PASSporT that says who calls.",
        "Let the carrier sign its calls, or set stir.verify of the trunk to report.")
    case .identityStale:
      CauseRow(
        "identity-stale", 403, 21, "The call's PASSporT was made too long ago, or in the future.",
        "Compare both sides' clocks; the notes (demarc call show) say how far they are apart.")
    case .identityUnavailable:
      CauseRow(
        "identity-unavailable", 436, 21, "The certificate of the call's PASSporT could not be had.",
        "The notes (demarc call show) say why; try its URL, and compare it with stir in demarc.yaml."
      )
    case .identityUntrusted:
      CauseRow(
        "identity-untrusted", 437, 21,
        "The certificate of the call's PASSporT is of nobody we trust, or not good for this number.",
        "The notes (demarc call show) say why; add the authority to stir.trust if it is to be believed."
      )
    case .identityInvalid:
      CauseRow(
        "identity-invalid", 438, 21,
        "The call's PASSporT is broken, was used before, or is of another call.",
        "The notes (demarc call show) say which; report it to the carrier, for numbers may be forged."
      )
    }
  }
}
