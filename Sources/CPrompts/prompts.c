#include "cprompts.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

struct word {
    uint32_t offset, length;
};

static const struct word words[] = {
#include "prompts.inc"
};

static const uint8_t samples[] = {
#embed "prompts.ulaw"
};

size_t cprompts_count(void) { return sizeof words / sizeof words[0]; }

size_t cprompts_length(size_t word) { return word < cprompts_count() ? words[word].length : 0; }

uint8_t cprompts_sample(size_t word, size_t index) {
    if (index >= cprompts_length(word)) return 0xff;
    size_t at = words[word].offset + index;
    return at < sizeof samples ? samples[at] : 0xff;
}
