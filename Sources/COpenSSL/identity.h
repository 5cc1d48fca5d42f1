#pragma once
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

// What PASSporTs need (RFC 8225, RFC 8226): ES256 as JWS writes it, and chains of certificates that came as PEM.
//
// Each reader of PEM is given an empty passphrase: without one libcrypto asks the terminal for that of whatever says that
// it is encrypted, and a certificate that a stranger's URL leads to may say so.

static inline int copenssl_is_p256(const EVP_PKEY *key) {
    char name[32];
    size_t count = 0;
    return key && EVP_PKEY_get_group_name(key, name, sizeof name, &count) == 1 && strcmp(name, "prime256v1") == 0;
}

/// NULL for anything but a key on P-256 without a passphrase.
static inline EVP_PKEY *copenssl_read_key(const void *pem, int count, int is_private) {
    BIO *bio = BIO_new_mem_buf(pem, count);
    EVP_PKEY *key = !bio         ? NULL
                    : is_private ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)"")
                                 : PEM_read_bio_PUBKEY(bio, NULL, NULL, (void *)"");
    BIO_free(bio);
    if (key && !copenssl_is_p256(key)) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    ERR_clear_error();
    return key;
}

static inline EVP_PKEY *copenssl_private_key(const void *pem, int count) {
    return copenssl_read_key(pem, count, 1);
}

static inline EVP_PKEY *copenssl_public_key(const void *pem, int count) {
    return copenssl_read_key(pem, count, 0);
}

/// r and s, 32 octets each (RFC 7518 §3.4).
static inline int copenssl_es256_sign(EVP_PKEY *key, const uint8_t *bytes, size_t count, uint8_t signature[64]) {
    uint8_t der[80];
    size_t length = sizeof der;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    int done = context && EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
               EVP_DigestSign(context, der, &length, bytes, count) == 1;
    EVP_MD_CTX_free(context);
    const uint8_t *at = der;
    ECDSA_SIG *pair = done ? d2i_ECDSA_SIG(NULL, &at, (long)length) : NULL;
    done = pair && BN_bn2binpad(ECDSA_SIG_get0_r(pair), signature, 32) == 32 &&
           BN_bn2binpad(ECDSA_SIG_get0_s(pair), signature + 32, 32) == 32;
    ECDSA_SIG_free(pair);
    ERR_clear_error();
    return done;
}

static inline int copenssl_es256_verify(EVP_PKEY *key, const uint8_t *bytes, size_t count, const uint8_t signature[64]) {
    ECDSA_SIG *pair = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(signature, 32, NULL), *s = BN_bin2bn(signature + 32, 32, NULL);
    if (!pair || !r || !s || ECDSA_SIG_set0(pair, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        ECDSA_SIG_free(pair);
        return 0;
    }
    uint8_t der[80];
    uint8_t *end = der;
    int length = i2d_ECDSA_SIG(pair, NULL);
    int done = length > 0 && length <= (int)sizeof der && i2d_ECDSA_SIG(pair, &end) == length;
    ECDSA_SIG_free(pair);
    EVP_MD_CTX *context = done ? EVP_MD_CTX_new() : NULL;
    done = context && EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
           EVP_DigestVerify(context, der, (size_t)length, bytes, count) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return done;
}

/// A revocation list that is missing or old is no reason to refuse a certificate: how old they are is watched elsewhere.
static inline int copenssl_list_may_lack(int good, X509_STORE_CTX *context) {
    int error = X509_STORE_CTX_get_error(context);
    if (!good && (error == X509_V_ERR_UNABLE_TO_GET_CRL || error == X509_V_ERR_CRL_HAS_EXPIRED ||
                  error == X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER)) {
        X509_STORE_CTX_set_error(context, X509_V_OK);
        return 1;
    }
    return good;
}

/// How many certificates of authorities were added; -1 where libcrypto refuses one.
static inline int copenssl_add_authorities(X509_STORE *store, const void *pem, int count) {
    BIO *bio = BIO_new_mem_buf(pem, count);
    int added = 0;
    X509 *certificate;
    while (bio && added < 1000 && (certificate = PEM_read_bio_X509(bio, NULL, NULL, (void *)""))) {
        int done = X509_STORE_add_cert(store, certificate);
        X509_free(certificate);
        if (!done) {
            added = -1;
            break;
        }
        added++;
    }
    BIO_free(bio);
    ERR_clear_error();
    return added;
}

static inline int64_t copenssl_seconds(const ASN1_TIME *time) {
    struct tm date;
    if (!time || ASN1_TIME_to_tm(time, &date) != 1) return 0;
    return (int64_t)timegm(&date);
}

/// One revocation list, as PEM or DER: when the next one is due, 0 where it does not say; -1: it is none.
static inline int64_t copenssl_add_list(X509_STORE *store, const void *bytes, int count) {
    BIO *bio = BIO_new_mem_buf(bytes, count);
    X509_CRL *list = bio ? PEM_read_bio_X509_CRL(bio, NULL, NULL, (void *)"") : NULL;
    BIO_free(bio);
    if (!list) {
        const uint8_t *at = (const uint8_t *)bytes;
        list = d2i_X509_CRL(NULL, &at, count);
    }
    ERR_clear_error();
    if (!list) return -1;
    int64_t due = copenssl_seconds(X509_CRL_get0_nextUpdate(list));
    int done = X509_STORE_add_crl(store, list);
    X509_CRL_free(list);
    ERR_clear_error();
    return done ? due : -1;
}

/// The first certificate of the PEM, where the rest of it leads to an authority of the store at that time; `*error` is
/// X509_V_OK then. NULL: there is none to be read.
static inline X509 *copenssl_chain(
    X509_STORE *store, int has_lists, const void *pem, int count, int64_t time, int *error) {
    BIO *bio = BIO_new_mem_buf(pem, count);
    X509 *leaf = bio ? PEM_read_bio_X509(bio, NULL, NULL, (void *)"") : NULL;
    STACK_OF(X509) *others = leaf ? sk_X509_new_null() : NULL;
    for (int i = 0; others && i < 8; i++) {
        X509 *next = PEM_read_bio_X509(bio, NULL, NULL, (void *)"");
        if (!next) break;
        if (!sk_X509_push(others, next)) X509_free(next);
    }
    BIO_free(bio);
    *error = X509_V_ERR_UNSPECIFIED;
    X509_STORE_CTX *context = others ? X509_STORE_CTX_new() : NULL;
    if (context && X509_STORE_CTX_init(context, store, leaf, others) == 1) {
        X509_VERIFY_PARAM *rules = X509_STORE_CTX_get0_param(context);
        X509_VERIFY_PARAM_set_depth(rules, 8);
        X509_VERIFY_PARAM_set_time(rules, (time_t)time);
        if (has_lists) {
            X509_VERIFY_PARAM_set_flags(
                rules, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL | X509_V_FLAG_EXTENDED_CRL_SUPPORT);
        }
        X509_STORE_CTX_set_verify_cb(context, copenssl_list_may_lack);
        int good = X509_verify_cert(context) == 1;
        *error = good ? X509_V_OK : X509_STORE_CTX_get_error(context);
        if (!good && *error == X509_V_OK) *error = X509_V_ERR_UNSPECIFIED;
    }
    X509_STORE_CTX_free(context);
    sk_X509_pop_free(others, X509_free);
    ERR_clear_error();
    return leaf;
}

/// The first certificate of the PEM, whoever has issued it; NULL where there is none.
static inline X509 *copenssl_certificate(const void *pem, int count) {
    BIO *bio = BIO_new_mem_buf(pem, count);
    X509 *leaf = bio ? PEM_read_bio_X509(bio, NULL, NULL, (void *)"") : NULL;
    BIO_free(bio);
    ERR_clear_error();
    return leaf;
}

static inline int64_t copenssl_begins(const X509 *certificate) {
    return copenssl_seconds(X509_get0_notBefore(certificate));
}

static inline int64_t copenssl_ends(const X509 *certificate) {
    return copenssl_seconds(X509_get0_notAfter(certificate));
}

/// The DER of an extension; its length, -1 where there is none, -2 where there are several (RFC 5280 §4.2 forbids it).
static inline int copenssl_extension(X509 *certificate, const char *oid, const uint8_t **der) {
    ASN1_OBJECT *name = OBJ_txt2obj(oid, 1);
    if (!name) return -2;
    int at = X509_get_ext_by_OBJ(certificate, name, -1);
    int next = at < 0 ? -1 : X509_get_ext_by_OBJ(certificate, name, at);
    ASN1_OBJECT_free(name);
    if (next >= 0) return -2;
    X509_EXTENSION *extension = at >= 0 ? X509_get_ext(certificate, at) : NULL;
    ASN1_OCTET_STRING *data = extension ? X509_EXTENSION_get_data(extension) : NULL;
    if (!data) return -1;
    *der = ASN1_STRING_get0_data(data);
    return ASN1_STRING_length(data);
}

/// One line of the name, at most `room` octets with their zero.
static inline void copenssl_subject(X509 *certificate, char *text, int room) {
    text[0] = 0;
    X509_NAME_oneline(X509_get_subject_name(certificate), text, room);
}
