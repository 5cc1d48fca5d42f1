// The side of the judges that the fuzz target links.
#include "judge.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { PATIENCE_MS = 1000 };

static struct {
  char path[256];
  pid_t pid;
  int to, from;
} judges[JUDGES];

static int start(int which) {
  int to[2], from[2];
  if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC)) return 0;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, to[0], 0);
  posix_spawn_file_actions_adddup2(&actions, from[1], 1);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  char *arguments[] = {judges[which].path, NULL};
  int failed = posix_spawn(&judges[which].pid, judges[which].path, &actions, NULL, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  close(to[0]);
  close(from[1]);
  judges[which].to = to[1];
  judges[which].from = from[0];
  if (failed) judges[which].pid = 0;
  return !failed;
}

static void stop(int which) {
  if (judges[which].pid == 0) return;
  kill(judges[which].pid, SIGKILL);
  waitpid(judges[which].pid, NULL, 0);
  close(judges[which].to);
  close(judges[which].from);
  judges[which].pid = 0;
}

void judges_start(const char *folder) {
  static const char *const names[JUDGES] = {"libre", "osip", "sofia"};
  signal(SIGPIPE, SIG_IGN);
  for (int i = 0; i < JUDGES; i++) snprintf(judges[i].path, sizeof judges[i].path, "%s/%s", folder, names[i]);
}

static long now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int send_all(int descriptor, const void *bytes, size_t length) {
  for (size_t done = 0; done < length;) {
    ssize_t count = write(descriptor, (const char *)bytes + done, length - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return 0;
    done += (size_t)count;
  }
  return 1;
}

static int receive_all(int descriptor, void *into, size_t length, long until) {
  for (size_t done = 0; done < length;) {
    struct pollfd wait = {descriptor, POLLIN, 0};
    long left = until - now_ms();
    if (left <= 0) return 0;
    if (poll(&wait, 1, (int)left) < 0 && errno != EINTR) return 0;
    if (!(wait.revents & (POLLIN | POLLHUP))) continue;
    ssize_t count = read(descriptor, (char *)into + done, length - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return 0;
    done += (size_t)count;
  }
  return 1;
}

size_t judges_ask(int which, const void *message, size_t length, uint8_t *reading, size_t capacity) {
  if (which < 0 || which >= JUDGES || judges[which].path[0] == 0 || length > JUDGE_MESSAGE_BYTES) return 0;
  if (judges[which].pid == 0 && !start(which)) return 0;
  uint32_t asked = (uint32_t)length, told = 0;
  long until = now_ms() + PATIENCE_MS;
  if (send_all(judges[which].to, &asked, sizeof asked) && send_all(judges[which].to, message, length) &&
      receive_all(judges[which].from, &told, sizeof told, until) && told <= capacity &&
      receive_all(judges[which].from, reading, told, until))
    return told;
  stop(which);
  return 0;
}
