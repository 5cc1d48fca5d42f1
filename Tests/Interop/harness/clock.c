// What a program is told of the time, moved by the nanoseconds in a file that is changed while it runs. The first one
// moves the wall clock: what clock_gettime, gettimeofday and time say, and the kernel's stamps of received datagrams.
// The second one moves the monotonic clock. All waiting stays as it is. Preloaded by clock.py.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const int64_t billion = 1000000000;
static _Atomic int64_t *step;

static int (*real_clock_gettime)(clockid_t, struct timespec *);
static ssize_t (*real_recvmsg)(int, struct msghdr *, int);
static int (*real_recvmmsg)(int, struct mmsghdr *, unsigned, int, struct timespec *);

static void find(void) {
    real_recvmsg = dlsym(RTLD_NEXT, "recvmsg");
    real_recvmmsg = dlsym(RTLD_NEXT, "recvmmsg");
    real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
}

__attribute__((constructor)) static void begin(void) {
    find();
    const char *path = getenv("STEPPED_CLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *place = mmap(NULL, 2 * sizeof *step, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (place != MAP_FAILED) step = place;
}

static void move(struct timespec *t, int which) {
    if (!step) return;
    int64_t moved = t->tv_sec * billion + t->tv_nsec + step[which];
    t->tv_sec = moved / billion;
    t->tv_nsec = moved % billion;
}

int clock_gettime(clockid_t clock, struct timespec *t) {
    if (!real_clock_gettime) find();
    int result = real_clock_gettime(clock, t);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) move(t, 0);
    if (result == 0 && clock == CLOCK_MONOTONIC) move(t, 1);
    return result;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
    (void)zone;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *t) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (t) *t = now.tv_sec;
    return now.tv_sec;
}

static void move_stamps(struct msghdr *message) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS) continue;
        struct timespec stamp;
        memcpy(&stamp, CMSG_DATA(c), sizeof stamp);
        move(&stamp, 0);
        memcpy(CMSG_DATA(c), &stamp, sizeof stamp);
    }
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
    ssize_t length = real_recvmsg(fd, message, flags);
    if (length >= 0) move_stamps(message);
    return length;
}

int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *patience) {
    int got = real_recvmmsg(fd, messages, count, flags, patience);
    for (int i = 0; i < got; i++) move_stamps(&messages[i].msg_hdr);
    return got;
}
