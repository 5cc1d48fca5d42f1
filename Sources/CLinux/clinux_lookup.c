#include "clinux.h"
#include <arpa/inet.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>

int clinux_lookup(const char *host, uint16_t port, clinux_address *addresses, int room) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found = NULL;
    if (getaddrinfo(host, NULL, &hints, &found) != 0) return -1;
    int count = 0;
    for (struct addrinfo *one = found; one && count < room; one = one->ai_next) {
        clinux_address address = {.port = port};
        if (one->ai_family == AF_INET) {
            const struct sockaddr_in *v4 = (const struct sockaddr_in *)one->ai_addr;
            address.low = ntohl(v4->sin_addr.s_addr);
            address.family = 4;
        } else if (one->ai_family == AF_INET6) {
            const uint8_t *bytes = ((const struct sockaddr_in6 *)one->ai_addr)->sin6_addr.s6_addr;
            for (int i = 0; i < 8; i++) {
                address.high = address.high << 8 | bytes[i];
                address.low = address.low << 8 | bytes[8 + i];
            }
            address.family = 6;
        } else {
            continue;
        }
        addresses[count++] = address;
    }
    freeaddrinfo(found);
    return count;
}
