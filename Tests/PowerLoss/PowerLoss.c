// Preloaded into a node, keeps a ledger of what a power cut would leave: for every regular file, by device and inode,
// how many of its bytes were written and how many of those were synced; and when a client was answered 2xx. A test
// kills the process and cuts its files back to what the ledger says. Names (creation, rename) count as durable at
// once. One line per fact, in the order in which they became true:
//
//   J dev ino 0       a file of the journal was opened
//   W dev ino size    bytes were written; the file has `size` now
//   S dev ino size    the first `size` bytes are durable (0: the file is new)
//   A 0 0 0           an answer that begins with "HTTP/1.1 2" is about to be sent
#define _GNU_SOURCE
#include "PowerLoss.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int ledger = -1;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void open_ledger(void) {
  const char *path = getenv("CAIRN_TEST_LEDGER");
  if (path) ledger = REAL(open)(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

static void note(char kind, const struct stat *file, long long size) {
  if (ledger < 0) return;
  char line[128];
  int count = snprintf(line, sizeof line, "%c %llu %llu %lld\n", kind, file ? (unsigned long long)file->st_dev : 0,
                       file ? (unsigned long long)file->st_ino : 0, size);
  if (REAL(write)(ledger, line, count) != count) abort();
}

static void opened(const char *path, int flags, int descriptor) {
  struct stat file;
  if (descriptor < 0 || fstat(descriptor, &file) != 0 || !S_ISREG(file.st_mode)) return;
  if ((flags & O_CREAT) && file.st_size == 0) note('S', &file, 0);
  if (strstr(path, "journal")) note('J', &file, 0);
}

static void before_send(const void *bytes, size_t count) {
  if (count >= 10 && memcmp(bytes, "HTTP/1.1 2", 10) == 0) note('A', NULL, 0);
}

static void written(int descriptor, ssize_t result) {
  struct stat file;
  if (result > 0 && fstat(descriptor, &file) == 0 && S_ISREG(file.st_mode)) note('W', &file, file.st_size);
}

int open(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  int descriptor = REAL(open)(path, flags, mode);
  opened(path, flags, descriptor);
  return descriptor;
}

ssize_t write(int descriptor, const void *bytes, size_t count) {
  before_send(bytes, count);
  ssize_t result = REAL(write)(descriptor, bytes, count);
  written(descriptor, result);
  return result;
}

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
  if (count > 0) before_send(parts[0].iov_base, parts[0].iov_len);
  ssize_t result = REAL(writev)(descriptor, parts, count);
  written(descriptor, result);
  return result;
}

ssize_t send(int descriptor, const void *bytes, size_t count, int flags) {
  before_send(bytes, count);
  return REAL(send)(descriptor, bytes, count, flags);
}

ssize_t sendmsg(int descriptor, const struct msghdr *message, int flags) {
  if (message->msg_iovlen > 0) before_send(message->msg_iov[0].iov_base, message->msg_iov[0].iov_len);
  return REAL(sendmsg)(descriptor, message, flags);
}

static int synced(int descriptor, int (*sync)(int)) {
  struct stat file;
  int known = fstat(descriptor, &file) == 0 && S_ISREG(file.st_mode);
  int result = sync(descriptor);
  if (result == 0 && known) note('S', &file, file.st_size);
  return result;
}

int fdatasync(int descriptor) { return synced(descriptor, REAL(fdatasync)); }
int fsync(int descriptor) { return synced(descriptor, REAL(fsync)); }
