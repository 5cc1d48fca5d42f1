#include "clinux_kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>

// Newer than the headers of the distributions that this is built on.
#define TCX_INGRESS 46

#define ATTRIBUTES_UP_TO(field) \
    (offsetof(union bpf_attr, field) + sizeof(((union bpf_attr *)0)->field))

static int call(int command, union bpf_attr *attributes, size_t size) {
    long result = syscall(SYS_bpf, command, attributes, size);
    return result < 0 ? -errno : (int)result;
}

static void set_name(char out[BPF_OBJ_NAME_LEN], const char *name) {
    memset(out, 0, BPF_OBJ_NAME_LEN);
    strncpy(out, name, BPF_OBJ_NAME_LEN - 1);
}

int clkernel_map(
    clkernel_map_kind kind, uint32_t key, uint32_t value, uint32_t entries, int shared,
    const char *name) {
    union bpf_attr attributes;
    memset(&attributes, 0, sizeof attributes);
    attributes.map_type = (uint32_t)kind;
    attributes.key_size = key;
    attributes.value_size = value;
    attributes.max_entries = entries;
    attributes.map_flags = shared ? BPF_F_MMAPABLE : 0;
    set_name(attributes.map_name, name);
    return call(BPF_MAP_CREATE, &attributes, ATTRIBUTES_UP_TO(map_name));
}

int clkernel_map_set(int map, const void *key, const void *value) {
    union bpf_attr attributes;
    memset(&attributes, 0, sizeof attributes);
    attributes.map_fd = (uint32_t)map;
    attributes.key = (uintptr_t)key;
    attributes.value = (uintptr_t)value;
    return call(BPF_MAP_UPDATE_ELEM, &attributes, ATTRIBUTES_UP_TO(flags));
}

void *clkernel_share(int map, size_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void clkernel_unshare(void *memory, size_t bytes) { munmap(memory, bytes); }

int clkernel_program(
    const uint8_t *instructions, size_t bytes, const char *name, char *log, size_t capacity) {
    union bpf_attr attributes;
    memset(&attributes, 0, sizeof attributes);
    attributes.prog_type = BPF_PROG_TYPE_SCHED_CLS;
    attributes.insn_cnt = (uint32_t)(bytes / 8);
    attributes.insns = (uintptr_t)instructions;
    attributes.license = (uintptr_t) "Apache-2.0";
    set_name(attributes.prog_name, name);
    int program = call(BPF_PROG_LOAD, &attributes, ATTRIBUTES_UP_TO(expected_attach_type));
    if (program >= 0 || program == -EPERM || capacity == 0) return program;
    attributes.log_level = 1;
    attributes.log_buf = (uintptr_t)log;
    attributes.log_size = (uint32_t)capacity;
    return call(BPF_PROG_LOAD, &attributes, ATTRIBUTES_UP_TO(expected_attach_type));
}

int clkernel_link(int program, uint32_t interface) {
    // As much of the attributes as tcx reads, relative position and revision being 0.
    struct {
        uint32_t program, interface, kind, flags;
        uint64_t relative, revision;
    } attributes = {(uint32_t)program, interface, TCX_INGRESS, 0, 0, 0};
    long result = syscall(SYS_bpf, BPF_LINK_CREATE, &attributes, sizeof attributes);
    return result < 0 ? -errno : (int)result;
}

uint32_t clkernel_cpus(void) {
    // "0-7" or "0,2-3": the last number is the highest CPU.
    uint32_t last = 0;
    FILE *file = fopen("/sys/devices/system/cpu/possible", "re");
    if (!file) return 1024;
    char text[256] = {0};
    if (fgets(text, sizeof text, file)) {
        for (char *c = text; *c; c++) {
            if (*c < '0' || *c > '9') continue;
            uint32_t number = 0;
            while (*c >= '0' && *c <= '9' && number < 100000) number = number * 10 + (uint32_t)(*c++ - '0');
            last = number;
            if (!*c) break;
        }
    }
    fclose(file);
    return last + 1;
}

uint32_t clkernel_release(void) {
    struct utsname name;
    unsigned major = 0, minor = 0;
    if (uname(&name) < 0 || sscanf(name.release, "%u.%u", &major, &minor) != 2) return 0;
    return major << 16 | (minor & 0xffff);
}

int clkernel_has_capability(int capability) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    if (syscall(SYS_capget, &header, data) < 0 || capability < 0 || capability > 63) return 0;
    return data[capability / 32].effective >> (capability % 32) & 1;
}

int clkernel_claim(const char *name) {
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    // An abstract address: it belongs to the network namespace and goes with the descriptor.
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strnlen(name, sizeof address.sun_path - 1);
    memcpy(address.sun_path + 1, name, length);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
    if (bind(fd, (const void *)&address, size) == 0) return fd;
    int failure = -errno;
    close(fd);
    return failure;
}

int clkernel_namespace_current(void) {
    int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int clkernel_namespace_new(void) {
    int before = clkernel_namespace_current();
    if (before < 0 || unshare(CLONE_NEWNET) == 0) return before;
    int failure = -errno;
    close(before);
    return failure;
}

int clkernel_namespace_enter(int fd) { return setns(fd, CLONE_NEWNET) < 0 ? -errno : 0; }
