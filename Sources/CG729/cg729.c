#include "cg729.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>

// The library's interface as its documentation gives it.
static cg729_decoder *(*new_decoder)(void);
static void (*close_decoder)(cg729_decoder *);
static void (*run_decoder)(cg729_decoder *, const uint8_t *, uint8_t, uint8_t erased, uint8_t sid, uint8_t rfc3389,
                           int16_t *);
static cg729_encoder *(*new_encoder)(uint8_t with_silence_detection);
static void (*close_encoder)(cg729_encoder *);
static void (*run_encoder)(cg729_encoder *, const int16_t *, uint8_t *, uint8_t *length);

static int installed;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void open_library(void) {
  void *library = dlopen("libbcg729.so.0", RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) return;
  *(void **)&new_decoder = dlsym(library, "initBcg729DecoderChannel");
  *(void **)&close_decoder = dlsym(library, "closeBcg729DecoderChannel");
  *(void **)&run_decoder = dlsym(library, "bcg729Decoder");
  *(void **)&new_encoder = dlsym(library, "initBcg729EncoderChannel");
  *(void **)&close_encoder = dlsym(library, "closeBcg729EncoderChannel");
  *(void **)&run_encoder = dlsym(library, "bcg729Encoder");
  installed = new_decoder && close_decoder && run_decoder && new_encoder && close_encoder && run_encoder;
}

int cg729_installed(void) {
  pthread_once(&once, open_library);
  return installed;
}

cg729_decoder *cg729_decoder_new(void) { return cg729_installed() ? new_decoder() : NULL; }
void cg729_decoder_free(cg729_decoder *decoder) { close_decoder(decoder); }

void cg729_decode(cg729_decoder *decoder, const uint8_t *frame, uint8_t length, int16_t *samples) {
  static const uint8_t nothing[10];
  run_decoder(decoder, length ? frame : nothing, length, length == 0, length == 2, 0, samples);
}

cg729_encoder *cg729_encoder_new(void) { return cg729_installed() ? new_encoder(0) : NULL; }
void cg729_encoder_free(cg729_encoder *encoder) { close_encoder(encoder); }

void cg729_encode(cg729_encoder *encoder, const int16_t *samples, uint8_t *frame) {
  uint8_t length = 0;
  run_encoder(encoder, samples, frame, &length);
}
