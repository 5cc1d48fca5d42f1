#pragma once
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdint.h>
#include <time.h>

// One request and its response over TLS, for a thread that may wait.

static inline int64_t copenssl_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/// Until the socket may go on, or time is over: 0.
static inline int copenssl_wait(int fd, short events, int64_t deadline) {
    for (;;) {
        int64_t left = deadline - copenssl_now();
        if (left <= 0) return 0;
        struct pollfd one = {.fd = fd, .events = events};
        int result = poll(&one, 1, left > 1000 ? 1000 : (int)left);
        if (result > 0) return 1;
        if (result < 0 && errno != EINTR) return 0;
    }
}

enum { COPENSSL_FETCHED = 0, COPENSSL_LATE = -1, COPENSSL_BROKEN = -2, COPENSSL_UNTRUSTED = -3 };

/// Sends a request over TLS by a socket that is being connected, and reads the response up to its end, at most `room`
/// octets of it: they are counted in `count`. The far end must show a certificate of the host.
static inline int copenssl_exchange(
    SSL_CTX *context, int fd, const char *host, int is_name, const void *request, int length, uint8_t *response,
    int room, int *count, int64_t deadline) {
    *count = 0;
    if (!copenssl_wait(fd, POLLOUT, deadline)) return COPENSSL_LATE;
    SSL *session = SSL_new(context);
    int outcome = COPENSSL_BROKEN, sent = 0, is_open = 0;
    if (!session || SSL_set_fd(session, fd) != 1) goto end;
    if (is_name) {
        SSL_set_hostflags(session, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        if (SSL_set1_host(session, host) != 1 || SSL_set_tlsext_host_name(session, host) != 1) goto end;
    } else if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session), host) != 1) {
        goto end;
    }
    SSL_set_connect_state(session);
    for (;;) {
        ERR_clear_error();
        int result;
        if (!is_open)
            result = SSL_do_handshake(session);
        else if (sent < length)
            result = SSL_write(session, (const uint8_t *)request + sent, length - sent);
        else
            result = SSL_read(session, response + *count, room - *count);
        if (result > 0) {
            if (!is_open)
                is_open = 1;
            else if (sent < length)
                sent += result;
            else
                *count += result;
            if (*count == room) {
                outcome = COPENSSL_FETCHED;
                break;
            }
            if (copenssl_now() < deadline) continue;
            outcome = COPENSSL_LATE;
            break;
        }
        int error = SSL_get_error(session, result);
        if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
            if (copenssl_wait(fd, error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline)) continue;
            outcome = COPENSSL_LATE;
        } else if (error == SSL_ERROR_ZERO_RETURN && sent == length) {
            outcome = COPENSSL_FETCHED;
        } else if (!is_open && SSL_get_verify_result(session) != X509_V_OK) {
            outcome = COPENSSL_UNTRUSTED;
        }
        break;
    }
end:
    SSL_free(session);
    ERR_clear_error();
    return outcome;
}
