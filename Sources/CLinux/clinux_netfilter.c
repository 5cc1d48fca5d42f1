#include "clinux_kernel.h"

#include <errno.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#ifndef NETLINK_CAP_ACK
#define NETLINK_CAP_ACK 10
#endif

int clkernel_netfilter(void) {
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    if (fd < 0) return -errno;
    struct sockaddr_nl address = {.nl_family = AF_NETLINK};
    if (bind(fd, (const void *)&address, sizeof address) < 0) {
        int failure = -errno;
        close(fd);
        return failure;
    }
    int on = 1, room = 4 << 20;
    struct timeval limit = {1, 0};
    // A refusal without the message that is refused: there may be many.
    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    // A batch is one datagram; whoever may change tables may have the room for it.
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    return fd;
}

long clkernel_netfilter_ask(int fd, const void *messages, size_t size, void *answer, size_t capacity) {
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    ssize_t sent;
    do {
        sent = sendto(fd, messages, size, 0, (const void *)&kernel, sizeof kernel);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) return -errno;
    // What the kernel has to say is there when sending is over.
    size_t used = 0;
    while (used < capacity) {
        ssize_t count = recv(fd, (char *)answer + used, capacity - used, MSG_DONTWAIT);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
        if (count < 0) return -errno;
        if (count == 0) break;
        used += (size_t)count;
    }
    return (long)used;
}
