internal import Glibc

/// What an errno of a stream socket means.
enum StreamOutcome {
  case later, exhausted, gone

  init(code: Int32) {
    switch code {
    case EAGAIN, EINTR: self = .later
    case EMFILE, ENFILE, ENOBUFS, ENOMEM: self = .exhausted
    default: self = .gone
    }
  }
}
