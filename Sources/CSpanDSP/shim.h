#pragma once
// spandsp's own umbrella header wants libtiff's beside it; the speech codecs need neither.
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <spandsp/telephony.h>
#include <spandsp/bit_operations.h>
#include <spandsp/g722.h>
#include <spandsp/gsm0610.h>
#include <spandsp/plc.h>
