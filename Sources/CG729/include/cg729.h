#pragma once
#include <stdint.h>

// bcg729, where it is installed. It is under the GPL 3 and Demarc is not: so it is opened at run time, by who runs
// Demarc, and no part of Demarc is linked with it.

typedef struct cg729_decoder cg729_decoder;
typedef struct cg729_encoder cg729_encoder;

// 1 where the library and all that we need of it are there. The first call opens it; any thread may ask.
int cg729_installed(void);

// NULL: not installed, or no memory.
cg729_decoder *cg729_decoder_new(void);
void cg729_decoder_free(cg729_decoder *decoder);
// 80 samples of a frame of 10 bytes, of a silence descriptor of 2 (annex B), or of nothing, which is concealed.
void cg729_decode(cg729_decoder *decoder, const uint8_t *frame, uint8_t length, int16_t *samples);

cg729_encoder *cg729_encoder_new(void);
void cg729_encoder_free(cg729_encoder *encoder);
// 10 bytes of 80 samples. Silence is coded as speech is (annexb=no).
void cg729_encode(cg729_encoder *encoder, const int16_t *samples, uint8_t *frame);
