// The judges' common main: questions on the standard input, readings on the standard output.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "judge.h"

static struct {
  char *text;
  size_t length;
  int there;
} fields[JUDGED_FIELDS];

void judge_text(enum judged field, const char *text, size_t length) {
  if (text == NULL || length >= 0xffff) return;
  free(fields[field].text);
  fields[field].text = malloc(length + 1);
  if (fields[field].text == NULL) exit(1);
  memcpy(fields[field].text, text, length);
  fields[field].length = length;
  fields[field].there = 1;
}

void judge_string(enum judged field, const char *text) {
  if (text != NULL) judge_text(field, text, strlen(text));
}

void judge_number(enum judged field, unsigned long number) {
  char text[24];
  judge_text(field, text, (size_t)snprintf(text, sizeof text, "%lu", number));
}

static int whole(int descriptor, void *into, size_t length) {
  for (size_t done = 0; done < length;) {
    ssize_t count = read(descriptor, (char *)into + done, length - done);
    if (count <= 0) return 0;
    done += (size_t)count;
  }
  return 1;
}

int main(void) {
  // A library may write to the standard output what it thinks of a message.
  int out = dup(1);
  dup2(2, 1);
  static uint8_t answer[4 + JUDGE_READING_BYTES];
  uint32_t length;
  while (whole(0, &length, sizeof length) && length <= JUDGE_MESSAGE_BYTES) {
    // A block of its own size, so that who reads beyond it is seen where tools look for that.
    char *message = malloc(length + 1);
    if (message == NULL || !whole(0, message, length)) return 1;
    message[length] = 0;
    for (int i = 0; i < JUDGED_FIELDS; i++) fields[i].there = 0;
    answer[4] = (uint8_t)(judge(message, length) != 0);
    free(message);
    size_t end = 5;
    for (int i = 0; i < JUDGED_FIELDS; i++) {
      size_t size = fields[i].there ? fields[i].length : 0;
      if (end + 2 + size > sizeof answer) return 1;
      uint16_t mark = fields[i].there ? (uint16_t)size : 0xffff;
      memcpy(answer + end, &mark, 2);
      if (size) memcpy(answer + end + 2, fields[i].text, size);
      end += 2 + size;
    }
    uint32_t told = (uint32_t)(end - 4);
    memcpy(answer, &told, 4);
    for (size_t done = 0; done < end;) {
      ssize_t count = write(out, answer + done, end - done);
      if (count <= 0) return 1;
      done += (size_t)count;
    }
  }
  return 0;
}
