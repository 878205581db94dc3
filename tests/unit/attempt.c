/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tries one thing, and ends with 0 if it could: `attempt WHAT ARGUMENT`. What a confined program
 * can and cannot do is for tests/unit/confine.c to say.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int try_read(const char *path)
{
    char byte;
    int fd = open(path, O_RDONLY);

    return fd >= 0 && read(fd, &byte, 1) >= 0 ? 0 : -1;
}

static int try_write(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    return fd >= 0 && write(fd, "x", 1) == 1 ? 0 : -1;
}

static int try_open_for_writing(const char *path)
{
    return open(path, O_WRONLY) >= 0 ? 0 : -1;
}

static int try_list(const char *path)
{
    return opendir(path) != NULL ? 0 : -1;
}

static int try_connect(const char *port)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)atoi(port)),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    return connect(socket(AF_INET, SOCK_STREAM, 0), (const struct sockaddr *)&address,
                   sizeof address);
}

static int try_connect_path(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    return connect(socket(AF_UNIX, SOCK_STREAM, 0), (const struct sockaddr *)&address,
                   sizeof address);
}

static int try_descriptors(const char *n)
{
    for (int i = atoi(n); i > 0; i--)
        if (open("/dev/null", O_RDONLY) < 0)
            return -1;
    return 0;
}

static int try_memory(const char *mib)
{
    void *memory = mmap(NULL, (size_t)atoi(mib) << 20, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return memory != MAP_FAILED ? 0 : -1;
}

static int try_processor(const char *seconds)
{
    while (clock() < (clock_t)atoi(seconds) * CLOCKS_PER_SEC)
        ;
    return 0;
}

static int try_signal(const char *pid)
{
    return kill(atoi(pid), 0);
}

static int try_trace(const char *pid)
{
    return (int)ptrace(PTRACE_SEIZE, atoi(pid), NULL, NULL);
}

static int try_users(const char *unused)
{
    (void)unused;
    return unshare(CLONE_NEWUSER);
}

static int try_privileges(const char *unused)
{
    (void)unused;
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0 ? 0 : -1;
}

/* A descriptor that it inherits as number @fd has the text @fd. */
static int try_inherited(const char *fd)
{
    char text[8] = "";

    return pread(atoi(fd), text, sizeof text - 1, 0) > 0 && strcmp(text, fd) == 0 ? 0 : -1;
}

static int try_number(const char *variable)
{
    const char *text = getenv(variable);

    return text != NULL && atoi(text) == getpid() ? 0 : -1;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*try)(const char *argument);
    } attempts[] = {
        {"read", try_read},
        {"write", try_write},
        {"open-for-writing", try_open_for_writing},
        {"list", try_list},
        {"connect", try_connect},
        {"connect-path", try_connect_path},
        {"descriptors", try_descriptors},
        {"memory", try_memory},
        {"processor", try_processor},
        {"signal", try_signal},
        {"trace", try_trace},
        {"users", try_users},
        {"privileges", try_privileges},
        {"inherited", try_inherited},
        {"number", try_number},
    };

    for (size_t i = 0; argc == 3 && i < sizeof attempts / sizeof attempts[0]; i++) {
        if (strcmp(argv[1], attempts[i].name) != 0)
            continue;
        errno = 0;
        int r = attempts[i].try(argv[2]);
        fprintf(stderr, "%s %s: %s\n", argv[1], argv[2], r == 0 ? "done" : strerror(errno));
        return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    fprintf(stderr, "usage: attempt WHAT ARGUMENT\n");
    return 2;
}
