#pragma once
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/srtp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdint.h>

// DTLS-SRTP (RFC 5764) through memory: datagrams go in and out as bytes, and no call touches a socket. A memory BIO
// knows no datagrams, but one that is fed with a single one and read until it is empty has no need to.

/// An ECDSA key on P-256 and a certificate of its own signature over it; NULL where libcrypto fails. Nobody looks at
/// its name or dates (its fingerprint is what counts, RFC 5763 §5), so they say nothing of us.
static inline X509 *copenssl_self_signed(EVP_PKEY **key) {
    EVP_PKEY *made = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    X509 *certificate = X509_new();
    BIGNUM *serial = BN_new();
    int done = made && certificate && serial && X509_set_version(certificate, X509_VERSION_3) &&
               BN_rand(serial, 64, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) &&
               BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(certificate)) &&
               X509_gmtime_adj(X509_getm_notBefore(certificate), -86400L) &&
               X509_time_adj_ex(X509_getm_notAfter(certificate), 3650, 0, NULL) &&
               X509_set_pubkey(certificate, made);
    if (done) {
        X509_NAME *name = X509_get_subject_name(certificate);
        done = X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"media", -1, -1, 0) &&
               X509_set_issuer_name(certificate, name) && X509_sign(certificate, made, EVP_sha256()) > 0;
    }
    BN_free(serial);
    if (!done) {
        EVP_PKEY_free(made);
        X509_free(certificate);
        return NULL;
    }
    *key = made;
    return certificate;
}

// Who the far end is, is judged by its fingerprint once the handshake is over; authorities mean nothing here.
static inline int copenssl_take_any(X509_STORE_CTX *store, void *argument) {
    (void)store;
    (void)argument;
    return 1;
}

// Cookies are ours (see `DTLSCookies`): whatever gets as far as libssl has shown a good one.
static inline int copenssl_cookie_is_good(SSL *session, const unsigned char *cookie, unsigned int count) {
    (void)session;
    (void)cookie;
    (void)count;
    return 1;
}

static inline int copenssl_no_cookie(SSL *session, unsigned char *cookie, unsigned int *count) {
    (void)session;
    (void)cookie;
    *count = 0;
    return 0;
}

/// Microseconds until the next retransmission: 250 ms at first and twice as many each time, at most 1 s. RFC 6347
/// §4.2.4.1 has 1 s to 60 s, and lets those be faster who need to: somebody waits for the first word.
static inline unsigned int copenssl_dtls_wait(SSL *session, unsigned int before) {
    (void)session;
    if (before == 0) return 250000;
    return before >= 500000 ? 1000000 : before * 2;
}

/// DTLS 1.2, ephemeral keys and authenticated encryption alone; no tickets, no sessions, no renegotiation.
static inline SSL_CTX *copenssl_dtls_context(X509 *certificate, EVP_PKEY *key) {
    SSL_CTX *context = SSL_CTX_new(DTLS_method());
    if (!context) return NULL;
    SSL_CTX_set_options(
        context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET | SSL_OP_NO_QUERY_MTU |
                     SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_cert_verify_callback(context, copenssl_take_any, NULL);
    SSL_CTX_set_cookie_verify_cb(context, copenssl_cookie_is_good);
    SSL_CTX_set_cookie_generate_cb(context, copenssl_no_cookie);
    if (SSL_CTX_set_min_proto_version(context, DTLS1_2_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(context, DTLS1_2_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1 ||
        // This one says 0 where all is well.
        SSL_CTX_set_tlsext_use_srtp(
            context, "SRTP_AEAD_AES_256_GCM:SRTP_AEAD_AES_128_GCM:SRTP_AES128_CM_SHA1_80:"
                     "SRTP_AES128_CM_SHA1_32") != 0 ||
        SSL_CTX_use_certificate(context, certificate) != 1 || SSL_CTX_use_PrivateKey(context, key) != 1) {
        SSL_CTX_free(context);
        return NULL;
    }
    return context;
}

/// One end of an association, with memory on both sides.
static inline SSL *copenssl_dtls_session(SSL_CTX *context, int accepts, long mtu) {
    SSL *session = SSL_new(context);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    if (!session || !in || !out) {
        SSL_free(session);
        BIO_free(in);
        BIO_free(out);
        return NULL;
    }
    BIO_set_mem_eof_return(in, -1);
    BIO_set_mem_eof_return(out, -1);
    SSL_set_bio(session, in, out);
    SSL_set_mtu(session, mtu);
    DTLS_set_timer_cb(session, copenssl_dtls_wait);
    if (accepts)
        SSL_set_accept_state(session);
    else
        SSL_set_connect_state(session);
    return session;
}

/// Puts one datagram in, in place of what may be left of the one before.
static inline int copenssl_dtls_feed(SSL *session, const void *bytes, int count) {
    BIO *in = SSL_get_rbio(session);
    (void)BIO_reset(in);
    return BIO_write(in, bytes, count) == count;
}

/// The server's beginning: a ClientHello whose cookie has been seen to be good. 1: the handshake may go on.
static inline int copenssl_dtls_listen(SSL *session) {
    BIO_ADDR *nobody = BIO_ADDR_new();
    if (!nobody) return -1;
    int result = DTLSv1_listen(session, nobody);
    BIO_ADDR_free(nobody);
    return result;
}

/// Microseconds until libssl wants to repeat its flight; -1: it does not.
static inline int64_t copenssl_dtls_timeout(SSL *session) {
    struct timeval left;
    if (DTLSv1_get_timeout(session, &left) != 1) return -1;
    return (int64_t)left.tv_sec * 1000000 + left.tv_usec;
}

/// Below 0: it has been repeated too often.
static inline long copenssl_dtls_expire(SSL *session) { return DTLSv1_handle_timeout(session); }

/// How much waits to be sent, and a look at it; `copenssl_dtls_sent` takes it out.
static inline long copenssl_dtls_output(SSL *session, const uint8_t **bytes) {
    char *data = NULL;
    long count = BIO_get_mem_data(SSL_get_wbio(session), &data);
    *bytes = (const uint8_t *)data;
    return count;
}

static inline void copenssl_dtls_sent(SSL *session) { (void)BIO_reset(SSL_get_wbio(session)); }

/// The protection profile's number (RFC 5764 §4.1.2); 0: none was agreed on.
static inline unsigned long copenssl_srtp_profile(SSL *session) {
    const SRTP_PROTECTION_PROFILE *profile = SSL_get_selected_srtp_profile(session);
    return profile ? profile->id : 0;
}

/// The digest of the far end's certificate by the algorithm's name; its length, 0 where there is none.
static inline unsigned copenssl_peer_digest(SSL *session, const char *algorithm, uint8_t digest[EVP_MAX_MD_SIZE]) {
    X509 *certificate = SSL_get0_peer_certificate(session);
    EVP_MD *type = EVP_MD_fetch(NULL, algorithm, NULL);
    unsigned count = 0;
    if (!certificate || !type || X509_digest(certificate, type, digest, &count) != 1) count = 0;
    EVP_MD_free(type);
    return count;
}
