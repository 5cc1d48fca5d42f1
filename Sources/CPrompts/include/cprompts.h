#pragma once
#include <stddef.h>
#include <stdint.h>

// Spoken words of the quality test: G.711 µ-law, 8 kHz, made by regenerate.py with espeak-ng.

/// How many words there are.
size_t cprompts_count(void);

/// Samples of word `word`; 0 beyond the last.
size_t cprompts_length(size_t word);

/// Sample `index` of word `word`; silence (0xff) outside of it.
uint8_t cprompts_sample(size_t word, size_t index);
