/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into cvd-launch, and harmless in what that starts: a step of a snapshot stops at a
 * gate, the FIFO that CVD_GATE names, once. CVD_GATE_AT is `copy`, where the first file is looked
 * through for its data, or `sync`, where the last word is written to the disk. The gate is reached
 * when the FIFO can be opened for writing, and open when that is closed again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void pass(const char *where)
{
    static atomic_flag has_passed = ATOMIC_FLAG_INIT;
    const char *gate = getenv("CVD_GATE"), *at = getenv("CVD_GATE_AT");
    char c;

    if (strcmp(program_invocation_short_name, "cvd-launch") != 0 || gate == NULL || at == NULL ||
        strcmp(at, where) != 0 || atomic_flag_test_and_set(&has_passed))
        return;
    int fd = open(gate, O_RDONLY | O_CLOEXEC);
    while (read(fd, &c, 1) < 0 && errno == EINTR)
        ;
    close(fd);
}

/* With 64-bit offsets, as all is built, it is called lseek64. */
off_t lseek(int fd, off_t offset, int whence)
{
    if (whence == SEEK_DATA)
        pass("copy");
    return syscall(SYS_lseek, fd, offset, whence);
}

int fsync(int fd)
{
    pass("sync");
    return (int)syscall(SYS_fsync, fd);
}
