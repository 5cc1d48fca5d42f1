#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "clinux.h"
#include "socket_name.h"

static void set(int fd, int level, int option, int value) {
    setsockopt(fd, level, option, &value, sizeof value);
}

// Messages are whole when they are written, so nothing is gained by waiting for more. A peer that is gone
// without a word is noticed: while nothing is sent by keep-alives, else by what is not acknowledged.
static void tune(int fd) {
    set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 60);
    set(fd, IPPROTO_TCP, TCP_KEEPINTVL, 20);
    set(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
    set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 32000);
}

static int open_stream(
    clinux_address address, int traffic_class, socket_name *name, socklen_t *length
) {
    int domain = address.family == 4 ? AF_INET : AF_INET6;
    int fd = socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    if (domain == AF_INET6) {
        set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
        set(fd, IPPROTO_IPV6, IPV6_TCLASS, traffic_class);
    } else {
        set(fd, IPPROTO_IP, IP_TOS, traffic_class);
    }
    *length = to_name(address, name);
    return fd;
}

static int fail(int fd) {
    int error = errno;
    close(fd);
    return -error;
}

int clinux_stream_listen(clinux_address address, int backlog, int traffic_class) {
    socket_name name;
    socklen_t length;
    int fd = open_stream(address, traffic_class, &name, &length);
    if (fd < 0) return fd;
    // A port whose last owner's connections are still winding down may be taken.
    set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (bind(fd, &name.any, length) < 0 || listen(fd, backlog) < 0) return fail(fd);
    return fd;
}

int clinux_stream_accept(int listener, clinux_address *peer) {
    socket_name name = {0};
    socklen_t length = sizeof name;
    int fd = accept4(listener, &name.any, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return -errno;
    *peer = from_name(&name);
    tune(fd);
    return fd;
}

int clinux_stream_connect(clinux_address local, clinux_address remote, int traffic_class) {
    socket_name name;
    socklen_t length;
    int fd = open_stream(local, traffic_class, &name, &length);
    if (fd < 0) return fd;
    // The port is chosen when the destination is known, so many connections may share one.
    set(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    if (bind(fd, &name.any, length) < 0) return fail(fd);
    tune(fd);
    length = to_name(remote, &name);
    if (connect(fd, &name.any, length) < 0 && errno != EINPROGRESS) return fail(fd);
    return fd;
}

int clinux_stream_error(int fd) {
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0) return -errno;
    return -error;
}

int64_t clinux_stream_read(int fd, void *bytes, size_t count) {
    ssize_t n = recv(fd, bytes, count, MSG_DONTWAIT);
    return n < 0 ? -errno : n;
}

int64_t clinux_stream_write(int fd, const void *bytes, size_t count) {
    ssize_t n = send(fd, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    return n < 0 ? -errno : n;
}

void clinux_stream_finish(int fd) { shutdown(fd, SHUT_WR); }

int clinux_reserve_open(void) {
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}
