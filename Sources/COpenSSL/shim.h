#pragma once
#include "dtls.h"
#include "fetch.h"
#include "identity.h"
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>
#include <time.h>

// libssl has many of its calls as macros, which Swift does not see.

/// What every context of ours has: TLS 1.2 or newer, no renegotiation, no compression, memory given back while
/// a connection is idle, and writes that may be partial and repeated from another place.
/// Refuses, and notes that one was wanted.
static inline int copenssl_refuse_passphrase(char *out, int size, int writing, void *wanted) {
    (void)out, (void)size, (void)writing;
    if (wanted) *(int *)wanted = 1;
    return -1;
}

/// The chain, or the key, of a PEM file: 1; -1 where it is encrypted, 0 where it is none.
static inline int copenssl_use(SSL_CTX *context, const char *file, int is_key) {
    int wanted = 0;
    SSL_CTX_set_default_passwd_cb_userdata(context, &wanted);
    int done = is_key ? SSL_CTX_use_PrivateKey_file(context, file, SSL_FILETYPE_PEM)
                      : SSL_CTX_use_certificate_chain_file(context, file);
    SSL_CTX_set_default_passwd_cb_userdata(context, NULL);
    return done == 1 ? 1 : wanted ? -1 : 0;
}

static inline int copenssl_prepare(SSL_CTX *context) {
    // Without this one libcrypto asks the terminal, and waits.
    SSL_CTX_set_default_passwd_cb(context, copenssl_refuse_passphrase);
    SSL_CTX_set_options(
        context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                     SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(
        context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                     SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
}

static inline void copenssl_on_server_name(
    SSL_CTX *context, int (*choose)(SSL *, int *, void *), void *argument) {
    SSL_CTX_set_tlsext_servername_callback(context, choose);
    SSL_CTX_set_tlsext_servername_arg(context, argument);
}

static inline int copenssl_ask_for_name(SSL *session, const char *name) {
    return (int)SSL_set_tlsext_host_name(session, name);
}

/// Seconds since 1970; 0 where the date cannot be read.
static inline int64_t copenssl_expiry(const X509 *certificate) {
    struct tm date;
    if (!certificate || ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &date) != 1) return 0;
    return (int64_t)timegm(&date);
}

/// RFC 5922 §7.1: the SIP domains that a certificate is of, each behind the other with a zero octet at its end: those of
/// its URIs `sip:domain`; where there is none its DNS names; where there is neither its common name. The octets that
/// they take, which is what has been written to `list` where that has room for `room` of them.
static inline size_t copenssl_domains(X509 *certificate, char *list, size_t room) {
    size_t count = 0;
    GENERAL_NAMES *names =
        (GENERAL_NAMES *)X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    for (int pass = 0; pass < 3 && count == 0; pass++) {
        int entries = pass < 2 ? (names ? sk_GENERAL_NAME_num(names) : 0) : 1;
        for (int i = 0; i < entries; i++) {
            const ASN1_STRING *text = NULL;
            size_t skipped = 0;
            if (pass < 2) {
                const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
                if (pass == 0 && name->type == GEN_URI) text = name->d.uniformResourceIdentifier;
                if (pass == 1 && name->type == GEN_DNS) text = name->d.dNSName;
            } else {
                X509_NAME *subject = X509_get_subject_name(certificate);
                int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
                if (at >= 0) text = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
            }
            if (!text) continue;
            const char *octets = (const char *)ASN1_STRING_get0_data(text);
            size_t length = (size_t)ASN1_STRING_length(text);
            if (pass == 0) {
                // A URI with a user part names a person, not a domain.
                if (length < 5 || strncasecmp(octets, "sip:", 4) || memchr(octets, '@', length)) continue;
                skipped = 4;
            }
            octets += skipped;
            length -= skipped;
            // One with a zero octet in it is no name.
            if (length == 0 || memchr(octets, 0, length)) continue;
            if (count + length + 1 <= room) {
                memcpy(list + count, octets, length);
                list[count + length] = 0;
            }
            count += length + 1;
        }
    }
    if (names) GENERAL_NAMES_free(names);
    return count;
}

// HMAC-SHA-1 (RFC 2104) for SRTP, by the digest's own calls and not by EVP: a provider's context is allocated
// anew for each packet, and this one is two blocks of words that are copied. They are marked as old in OpenSSL 3
// and are part of its ABI for as long as that lives.
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wdeprecated-declarations"

typedef struct {
    SHA_CTX inner, outer;
} copenssl_hmac_sha1;

/// Only for keys of at most a block, as those of SRTP are.
static inline int copenssl_hmac_sha1_key(copenssl_hmac_sha1 *mac, const uint8_t *key, size_t count) {
    uint8_t block[SHA_CBLOCK];
    if (count > sizeof block) return 0;
    memset(block, 0x36, sizeof block);
    for (size_t i = 0; i < count; i++) block[i] ^= key[i];
    int done = SHA1_Init(&mac->inner) && SHA1_Update(&mac->inner, block, sizeof block);
    for (size_t i = 0; i < sizeof block; i++) block[i] ^= 0x36 ^ 0x5c;
    done = done && SHA1_Init(&mac->outer) && SHA1_Update(&mac->outer, block, sizeof block);
    OPENSSL_cleanse(block, sizeof block);
    return done;
}

/// The tag of `bytes` and, where `trailer_count` is 4, of those of `trailer` behind them.
static inline int copenssl_hmac_sha1_tag(
    const copenssl_hmac_sha1 *mac, const uint8_t *bytes, size_t count, const uint8_t *trailer,
    size_t trailer_count, uint8_t tag[SHA_DIGEST_LENGTH]) {
    SHA_CTX digest = mac->inner;
    if (!SHA1_Update(&digest, bytes, count) || !SHA1_Update(&digest, trailer, trailer_count) ||
        !SHA1_Final(tag, &digest))
        return 0;
    digest = mac->outer;
    return SHA1_Update(&digest, tag, SHA_DIGEST_LENGTH) && SHA1_Final(tag, &digest);
}

#pragma clang diagnostic pop
