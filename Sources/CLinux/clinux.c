#include "clinux.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/un.h>
#include <unistd.h>

int clinux_thread_id(void) { return (int)syscall(SYS_gettid); }

int clinux_notify(const char *socket_name, const char *text) {
    return clinux_notify_with(socket_name, text, -1);
}

int clinux_notify_with(const char *socket_name, const char *text, int descriptor) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    size_t length = strlen(socket_name);
    if (length == 0 || length >= sizeof name.sun_path) return -EINVAL;
    memcpy(name.sun_path, socket_name, length);
    if (name.sun_path[0] == '@') name.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -errno;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec part = {(void *)text, strlen(text)};
    struct msghdr message = {.msg_name = &name, .msg_namelen = size, .msg_iov = &part, .msg_iovlen = 1};
    if (descriptor >= 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(rights), &descriptor, sizeof descriptor);
    }
    ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    int error = errno;
    close(fd);
    return sent < 0 ? -error : 0;
}

int clinux_clock_is_kept(void) {
    struct timex clock = {0};
    int state = adjtimex(&clock);
    if (state < 0) return -errno;
    return state != TIME_ERROR && !(clock.status & STA_UNSYNC);
}

void clinux_sleep(uint64_t nanoseconds) {
    struct timespec t = {(time_t)(nanoseconds / 1000000000u), (long)(nanoseconds % 1000000000u)};
    nanosleep(&t, NULL);
}

uint64_t clinux_resident_bytes(void) {
    char text[128];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0) return 0;
    text[n] = 0;
    unsigned long size = 0, resident = 0;
    if (sscanf(text, "%lu %lu", &size, &resident) != 2) return 0;
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

int clinux_poller_open(void) {
    int fd = epoll_create1(EPOLL_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int clinux_poller_set(int poller, int fd, uint32_t token, uint32_t events, int is_new) {
    struct epoll_event event = {0};
    if (events & CLINUX_READABLE) event.events |= EPOLLIN;
    if (events & CLINUX_WRITABLE) event.events |= EPOLLOUT;
    event.data.u32 = token;
    return epoll_ctl(poller, is_new ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event) < 0 ? -errno : 0;
}

int clinux_poller_remove(int poller, int fd) {
    return epoll_ctl(poller, EPOLL_CTL_DEL, fd, NULL) < 0 ? -errno : 0;
}

int clinux_poller_wait(int poller, clinux_event *out, int capacity, int64_t timeout) {
    struct epoll_event events[64];
    if (capacity > 64) capacity = 64;
    int milliseconds = -1;
    if (timeout >= 0) {
        int64_t rounded = timeout / 1000000 + (timeout % 1000000 != 0);
        milliseconds = rounded > 3600000 ? 3600000 : (int)rounded;
    }
    int n = epoll_wait(poller, events, capacity, milliseconds);
    if (n < 0) return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < n; i++) {
        uint32_t ready = 0;
        if (events[i].events & EPOLLIN) ready |= CLINUX_READABLE;
        if (events[i].events & EPOLLOUT) ready |= CLINUX_WRITABLE;
        if (events[i].events & (EPOLLERR | EPOLLHUP)) ready |= CLINUX_ERROR;
        out[i] = (clinux_event){events[i].data.u32, ready};
    }
    return n;
}

int clinux_signal_open(void) {
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

void clinux_signal_raise(int fd) {
    uint64_t one = 1;
    // Fails only when the counter is full, and then it is raised already.
    ssize_t ignored = write(fd, &one, sizeof one);
    (void)ignored;
}

void clinux_signal_clear(int fd) {
    uint64_t count;
    ssize_t ignored = read(fd, &count, sizeof count);
    (void)ignored;
}

void clinux_close(int fd) {
    if (fd >= 0) close(fd);
}

struct start {
    void (*body)(void *);
    void *context;
    char name[16];
};

static void *run(void *argument) {
    struct start start = *(struct start *)argument;
    free(argument);
    pthread_setname_np(pthread_self(), start.name);
    start.body(start.context);
    return NULL;
}

int clinux_thread_start(
    const char *name, void (*body)(void *), void *context, uint64_t *handle) {
    struct start *start = calloc(1, sizeof *start);
    if (!start) return -ENOMEM;
    start->body = body;
    start->context = context;
    strncpy(start->name, name, sizeof start->name - 1);
    // Signals go to threads that wait for them. What a fault raises stays open, or the process would
    // die without its backtrace.
    sigset_t blocked, before;
    sigfillset(&blocked);
    const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) sigdelset(&blocked, faults[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    pthread_t thread;
    int error = pthread_create(&thread, NULL, run, start);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) {
        free(start);
        return -error;
    }
    *handle = (uint64_t)thread;
    return 0;
}

void clinux_thread_join(uint64_t handle) { pthread_join((pthread_t)handle, NULL); }

int clinux_thread_is_current(uint64_t handle) {
    return pthread_equal((pthread_t)handle, pthread_self()) != 0;
}

int clinux_random(void *bytes, size_t count) {
    uint8_t *p = bytes;
    while (count > 0) {
        ssize_t n = getrandom(p, count, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        p += n;
        count -= (size_t)n;
    }
    return 0;
}
