// A library for LD_PRELOAD: calls on files below one folder fail, as on a broken or full disk.
//
// failing_disk_arm(folder, kind, first, count, number) lets the calls of this kind from number `first` (1 is
// the first) fail with errno `number`: `count` of them, or all later ones if it is 0. Until it is called, and
// outside the folder, nothing changes. failing_disk_calls(kind) returns how many there were since then. What
// isn't seen: reads through mmap, and the C library's own calls (fopen).

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN, READ, WRITE, SYNC, RENAME, MKDIR, UNLINK, KINDS };

static char folder[PATH_MAX];
static size_t folder_length;
static int failing_kind = -1, failing_errno;
static long first_failing, num_failing, num_calls[KINDS];

void failing_disk_arm(const char *path, int kind, long first, long count, int number) {
    memset(num_calls, 0, sizeof num_calls);
    failing_kind = kind, first_failing = first, num_failing = count, failing_errno = number;
    folder_length = strlen(path);
    strncpy(folder, path, sizeof folder - 1);
}

long failing_disk_calls(int kind) { return num_calls[kind]; }

// Whether this call, on a file below the folder, has to fail; errno is then set.
static int fails(int kind) {
    long number = __atomic_add_fetch(&num_calls[kind], 1, __ATOMIC_SEQ_CST);
    if (kind != failing_kind || number < first_failing) return 0;
    if (num_failing && number >= first_failing + num_failing) return 0;
    errno = failing_errno;
    return 1;
}

static int is_below(const char *path) {
    return folder_length && strncmp(path, folder, folder_length) == 0;
}

static int fd_is_below(int fd) {
    char link[64], path[PATH_MAX];
    if (!folder_length) return 0;
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = before;
    if (length < 0) return 0;
    path[length] = 0;
    return is_below(path);
}

static int path_is_below(int at, const char *path) {
    char cwd[PATH_MAX], whole[2 * PATH_MAX];
    if (!folder_length || !path) return 0;
    if (path[0] == '/') return is_below(path);
    if (at != AT_FDCWD) return fd_is_below(at);
    int before = errno;
    int known = getcwd(cwd, sizeof cwd) != NULL;
    errno = before;
    if (!known) return 0;
    snprintf(whole, sizeof whole, "%s/%s", cwd, path);
    return is_below(whole);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

// A call on an open file, on a path, and on a path relative to an open folder.
#define ON_FILE(result, name, kind, fd, parameters, arguments)   \
    result name parameters {                                     \
        if (fd_is_below(fd) && fails(kind)) return -1;           \
        return REAL(name) arguments;                             \
    }
#define ON_PATH(result, name, kind, at, path, parameters, arguments) \
    result name parameters {                                         \
        if (path_is_below(at, path) && fails(kind)) return -1;       \
        return REAL(name) arguments;                                 \
    }
#define OPENS(name, at, parameters, arguments)                                     \
    int name parameters {                                                          \
        mode_t mode = 0;                                                           \
        if (flags & (O_CREAT | O_TMPFILE)) {                                       \
            va_list rest;                                                          \
            va_start(rest, flags);                                                 \
            mode = va_arg(rest, mode_t);                                           \
            va_end(rest);                                                          \
        }                                                                          \
        if (path_is_below(at, path) && fails(OPEN)) return -1;                     \
        return REAL(name) arguments;                                               \
    }

OPENS(open, AT_FDCWD, (const char *path, int flags, ...), (path, flags, mode))
OPENS(open64, AT_FDCWD, (const char *path, int flags, ...), (path, flags, mode))
OPENS(openat, at, (int at, const char *path, int flags, ...), (at, path, flags, mode))
OPENS(openat64, at, (int at, const char *path, int flags, ...), (at, path, flags, mode))

ON_FILE(ssize_t, read, READ, fd, (int fd, void *data, size_t size), (fd, data, size))
ON_FILE(ssize_t, pread, READ, fd, (int fd, void *data, size_t size, off_t at), (fd, data, size, at))
ON_FILE(ssize_t, pread64, READ, fd, (int fd, void *data, size_t size, off64_t at), (fd, data, size, at))
ON_FILE(ssize_t, readv, READ, fd, (int fd, const struct iovec *parts, int count), (fd, parts, count))
ON_FILE(ssize_t, write, WRITE, fd, (int fd, const void *data, size_t size), (fd, data, size))
ON_FILE(ssize_t, pwrite, WRITE, fd, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at))
ON_FILE(ssize_t, pwrite64, WRITE, fd, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at))
ON_FILE(ssize_t, writev, WRITE, fd, (int fd, const struct iovec *parts, int count), (fd, parts, count))
ON_FILE(ssize_t, sendfile, WRITE, to, (int to, int from, off_t *at, size_t size), (to, from, at, size))
ON_FILE(ssize_t, sendfile64, WRITE, to, (int to, int from, off64_t *at, size_t size), (to, from, at, size))
ON_FILE(ssize_t, copy_file_range, WRITE, to,
        (int from, off64_t *begin, int to, off64_t *at, size_t size, unsigned flags),
        (from, begin, to, at, size, flags))
ON_FILE(int, ftruncate, WRITE, fd, (int fd, off_t size), (fd, size))
ON_FILE(int, ftruncate64, WRITE, fd, (int fd, off64_t size), (fd, size))
ON_FILE(int, fsync, SYNC, fd, (int fd), (fd))
ON_FILE(int, fdatasync, SYNC, fd, (int fd), (fd))

ON_PATH(int, rename, RENAME, AT_FDCWD, path, (const char *path, const char *to), (path, to))
ON_PATH(int, renameat, RENAME, at, path, (int at, const char *path, int other, const char *to),
        (at, path, other, to))
ON_PATH(int, mkdir, MKDIR, AT_FDCWD, path, (const char *path, mode_t mode), (path, mode))
ON_PATH(int, mkdirat, MKDIR, at, path, (int at, const char *path, mode_t mode), (at, path, mode))
ON_PATH(int, unlink, UNLINK, AT_FDCWD, path, (const char *path), (path))
ON_PATH(int, unlinkat, UNLINK, at, path, (int at, const char *path, int flags), (at, path, flags))
ON_PATH(int, rmdir, UNLINK, AT_FDCWD, path, (const char *path), (path))
