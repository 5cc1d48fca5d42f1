#pragma once
#include <opus.h>
// opus_encoder_ctl takes what it sets as a variable argument, which Swift does not call.
static inline int copus_set(OpusEncoder *encoder, int request, opus_int32 value) {
  return opus_encoder_ctl(encoder, request, value);
}
static inline opus_int32 copus_get(OpusEncoder *encoder, int request) {
  opus_int32 value = 0;
  return opus_encoder_ctl(encoder, request, &value) == OPUS_OK ? value : 0;
}
