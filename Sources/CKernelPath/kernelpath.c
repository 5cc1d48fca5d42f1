#include "ckernelpath.h"

#include <string.h>

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
