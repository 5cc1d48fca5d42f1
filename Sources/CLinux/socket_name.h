#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "clinux.h"

// Our addresses as the kernel's, for whoever opens sockets.

typedef union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} socket_name;

static inline socklen_t to_name(clinux_address address, socket_name *name) {
    memset(name, 0, sizeof *name);
    if (address.family == 4) {
        name->v4.sin_family = AF_INET;
        name->v4.sin_port = htons(address.port);
        name->v4.sin_addr.s_addr = htonl((uint32_t)address.low);
        return sizeof name->v4;
    }
    name->v6.sin6_family = AF_INET6;
    name->v6.sin6_port = htons(address.port);
    for (int i = 0; i < 8; i++) {
        name->v6.sin6_addr.s6_addr[i] = (uint8_t)(address.high >> (56 - 8 * i));
        name->v6.sin6_addr.s6_addr[8 + i] = (uint8_t)(address.low >> (56 - 8 * i));
    }
    return sizeof name->v6;
}

static inline clinux_address from_name(const socket_name *name) {
    clinux_address address = {0};
    if (name->any.sa_family == AF_INET) {
        address.family = 4;
        address.port = ntohs(name->v4.sin_port);
        address.low = ntohl(name->v4.sin_addr.s_addr);
    } else if (name->any.sa_family == AF_INET6) {
        address.family = 6;
        address.port = ntohs(name->v6.sin6_port);
        for (int i = 0; i < 8; i++) {
            address.high = address.high << 8 | name->v6.sin6_addr.s6_addr[i];
            address.low = address.low << 8 | name->v6.sin6_addr.s6_addr[8 + i];
        }
    }
    return address;
}
