#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clinux.h"

// Sockets that speak with one address only, for questions to name servers.

int clinux_connected_open(clinux_address to, int is_stream) {
    int domain = to.family == 4 ? AF_INET : AF_INET6;
    int type = (is_stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC;
    int fd = socket(domain, type, 0);
    if (fd < 0) return -errno;
    if (is_stream) {
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(to.port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(to.port)};
    v4.sin_addr.s_addr = htonl((uint32_t)to.low);
    for (int i = 0; i < 8; i++) {
        v6.sin6_addr.s6_addr[i] = (uint8_t)(to.high >> (56 - 8 * i));
        v6.sin6_addr.s6_addr[8 + i] = (uint8_t)(to.low >> (56 - 8 * i));
    }
    int result = to.family == 4 ? connect(fd, (struct sockaddr *)&v4, sizeof v4)
                                : connect(fd, (struct sockaddr *)&v6, sizeof v6);
    if (result < 0 && errno != EINPROGRESS) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

long clinux_write(int fd, const void *bytes, size_t count) {
    ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent < 0 ? -errno : sent;
}

long clinux_read(int fd, void *bytes, size_t capacity) {
    ssize_t received = recv(fd, bytes, capacity, MSG_DONTWAIT);
    return received < 0 ? -errno : received;
}
