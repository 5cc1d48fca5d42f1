// How another program's reading of a message is told to the fuzz target `differential`.
//
// A judge is a process of its own: what breaks it breaks nothing else. It is asked with a length (four octets, of this
// machine's order) and that many octets, and answers with a length and a reading: an octet that is 1 where it took the
// message and 0 where it did not, then each field as two octets of length and its text, 0xffff for one that is not there.
#ifndef JUDGE_H
#define JUDGE_H

#include <stddef.h>
#include <stdint.h>

enum judged {
  JUDGED_START,  // the method, or the status in digits
  JUDGED_SCHEME, JUDGED_USER, JUDGED_HOST, JUDGED_PORT,  // of the Request-URI
  JUDGED_CALL_ID,
  JUDGED_CSEQ, JUDGED_CSEQ_METHOD,
  JUDGED_FROM_SCHEME, JUDGED_FROM_USER, JUDGED_FROM_HOST, JUDGED_FROM_TAG,
  JUDGED_TO_SCHEME, JUDGED_TO_USER, JUDGED_TO_HOST, JUDGED_TO_TAG,
  JUDGED_VIA_HOST, JUDGED_VIA_PORT, JUDGED_VIA_BRANCH,  // of the topmost Via
  JUDGED_BODY,  // its length in digits
  JUDGED_FIELDS
};

enum { JUDGE_MESSAGE_BYTES = 65535, JUDGE_READING_BYTES = 1 << 18 };

// What a judge's file defines: reads a message (a NUL follows it) and tells its fields with the functions below. Returns
// whether it took the message.
int judge(const char *message, size_t length);

void judge_text(enum judged field, const char *text, size_t length);
void judge_string(enum judged field, const char *text);  // NULL: not there
void judge_number(enum judged field, unsigned long number);

// What the target calls. `judges_start` takes the folder of the programs, which are numbered libre, osip, sofia;
// `judges_ask` returns the length of the reading of one, 0 where it gave none within a second or ended, after which it is
// started anew.
enum { JUDGES = 3 };
void judges_start(const char *folder);
size_t judges_ask(int which, const void *message, size_t length, uint8_t *reading, size_t capacity);

#endif
