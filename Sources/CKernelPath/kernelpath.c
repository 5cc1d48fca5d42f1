#include "ckernelpath.h"

#include <string.h>
#include <time.h>

static const uint8_t relay_code[] = {
#include "relay.inc"
};
static const ckp_relocation relay_maps[] = {
#include "relay-maps.inc"
};
static const uint8_t door_code[] = {
#include "door.inc"
};
static const ckp_relocation door_maps[] = {
#include "door-maps.inc"
};

size_t ckp_instructions(ckp_program program, uint8_t *out, size_t capacity) {
    const uint8_t *code = program == CKP_RELAY ? relay_code : door_code;
    size_t count = program == CKP_RELAY ? sizeof relay_code : sizeof door_code;
    if (out) memcpy(out, code, count < capacity ? count : capacity);
    return count;
}

int ckp_relocation_at(ckp_program program, size_t index, ckp_relocation *out) {
    const ckp_relocation *list = program == CKP_RELAY ? relay_maps : door_maps;
    size_t bytes = program == CKP_RELAY ? sizeof relay_maps : sizeof door_maps;
    if (index >= bytes / sizeof *list) return 0;
    *out = list[index];
    return 1;
}

static void pause_briefly(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

// The program needs less than a microsecond and nothing preempts it but an interrupt. Longer than the first wait it
// takes only where a hypervisor has its CPU do something else, or where a kernel for real time lets threads preempt it,
// ours among them: so then we sleep. Nobody is waited for without end: the worker has other calls.
enum { PAUSES = 1000, NAPS = 20, NAP_NS = 50 * 1000 };

int ckp_take_back(uint64_t *armed) {
    __atomic_fetch_and(armed, CKP_HELD, __ATOMIC_SEQ_CST);
    for (int i = 0; i < PAUSES; i++) {
        if (!ckp_load(armed)) return 1;
        pause_briefly();
    }
    for (int i = 0; i < NAPS; i++) {
        const struct timespec nap = {0, NAP_NS};
        nanosleep(&nap, NULL);
        if (!ckp_load(armed)) return 1;
    }
    return 0;
}
