/* SPDX-License-Identifier: Apache-2.0 */
#include "client/passed.h"

#include "client/types.h"
#include "vsoc/abi.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* sd_listen_fds(3), SD_LISTEN_FDS_START */
#define FIRST_FD 3
#define MAX_FDS  65536

static void passed_free(gpointer data)
{
    CvdPassed *passed = data;

    g_free(passed->region);
    g_free(passed);
}

static gboolean fail(GError **error, CvdRegionError code, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

static gboolean fail(GError **error, CvdRegionError code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error_literal(error, CVD_REGION_ERROR, (int)code, text);
    return FALSE;
}

/* ---- What the environment says ---- */

static gboolean check_pid(const char *pid, int own_pid, GError **error)
{
    guint64 number;

    if (pid == NULL)
        return TRUE;
    if (!g_ascii_string_to_unsigned(pid, 10, 1, G_MAXINT, &number, NULL))
        return fail(error, CVD_REGION_ERROR_PROTOCOL, "LISTEN_PID=%s: not the number of a process",
                    pid);
    return (int)number == own_pid ||
           fail(error, CVD_REGION_ERROR_NOT_PASSED,
                "LISTEN_PID=%s: the descriptors were passed to that process, and this is %d", pid,
                own_pid);
}

static gboolean parse_count(const char *n_fds, guint *count, GError **error)
{
    guint64 number;

    if (n_fds == NULL)
        return fail(error, CVD_REGION_ERROR_NOT_PASSED,
                    "no region was passed to this program: LISTEN_FDS is not set; give it "
                    "\"regions\" and \"pass_fds\": true under `programs` in cvd.json, or open the "
                    "region at the client socket");
    if (!g_ascii_string_to_unsigned(n_fds, 10, 0, MAX_FDS, &number, NULL))
        return fail(error, CVD_REGION_ERROR_PROTOCOL, "LISTEN_FDS=%s: not a number of descriptors",
                    n_fds);
    *count = (guint)number;
    return TRUE;
}

static CvdPassed *find_or_add(GPtrArray *regions, const char *name, gsize length)
{
    /* Those of a region stand together. */
    for (guint i = regions->len; i > 0; i--) {
        CvdPassed *passed = regions->pdata[i - 1];
        if (strlen(passed->region) == length && strncmp(passed->region, name, length) == 0)
            return passed;
    }
    CvdPassed *passed = g_new(CvdPassed, 1);
    *passed = (CvdPassed){.region = g_strndup(name, length), .fds = {-1, -1, -1, -1}};
    g_ptr_array_add(regions, passed);
    return passed;
}

static void add_fd(GPtrArray *regions, const char *name, int fd)
{
    for (CvdPassedFd i = 0; i < CVD_PASSED_N_FDS; i++) {
        const char *suffix = cvd_passed_fd_get_suffix(i);
        gsize length = strlen(name) - MIN(strlen(name), strlen(suffix));
        if (length == 0 || length > VSOC_MAX_DEVICE_NAME || strcmp(name + length, suffix) != 0)
            continue;
        CvdPassed *passed = find_or_add(regions, name, length);
        if (passed->fds[i] < 0)
            passed->fds[i] = fd;
    }
}

GPtrArray *cvd_passed_parse(const CvdPassedEnvironment *environment, int own_pid, GError **error)
{
    guint count = 0;

    if (!parse_count(environment->n_fds, &count, error) ||
        !check_pid(environment->pid, own_pid, error))
        return NULL;
    g_auto(GStrv) names = g_strsplit(environment->names != NULL ? environment->names : "", ":", -1);
    if (environment->names == NULL && count > 0) {
        fail(error, CVD_REGION_ERROR_NOT_PASSED,
             "no region was passed to this program: LISTEN_FDNAMES is not set");
        return NULL;
    }
    if (g_strv_length(names) != count) {
        fail(error, CVD_REGION_ERROR_PROTOCOL,
             "LISTEN_FDNAMES has %u names, and LISTEN_FDS is %u: both come from whoever started "
             "this program",
             g_strv_length(names), count);
        return NULL;
    }
    GPtrArray *regions = g_ptr_array_new_with_free_func(passed_free);
    for (guint i = 0; i < count; i++)
        add_fd(regions, names[i], FIRST_FD + (int)i);
    return regions;
}

/* ---- Which one ---- */

static char *list_names(GPtrArray *regions)
{
    GString *names = g_string_new(NULL);

    for (guint i = 0; i < regions->len; i++)
        g_string_append_printf(names, "%s%s", i > 0 ? ", " : "",
                               ((const CvdPassed *)regions->pdata[i])->region);
    return g_string_free(names, FALSE);
}

static const CvdPassed *find_first(GPtrArray *regions, GHashTable *taken, GError **error)
{
    for (guint i = 0; i < regions->len; i++) {
        const CvdPassed *passed = regions->pdata[i];
        if (!g_hash_table_contains(taken, passed->region))
            return passed;
    }
    fail(error, CVD_REGION_ERROR_NOT_PASSED,
         regions->len > 0 ? "all regions that were passed to this program are open already"
                          : "no region was passed to this program: LISTEN_FDNAMES has none");
    return NULL;
}

const CvdPassed *cvd_passed_find(GPtrArray *regions, const char *name, GHashTable *taken,
                                 GError **error)
{
    if (name == NULL)
        return find_first(regions, taken, error);
    for (guint i = 0; i < regions->len; i++) {
        const CvdPassed *passed = regions->pdata[i];
        if (strcmp(passed->region, name) != 0)
            continue;
        if (!g_hash_table_contains(taken, name))
            return passed;
        fail(error, CVD_REGION_ERROR_NOT_PASSED,
             "region '%s' was passed to this program once, and was opened already", name);
        return NULL;
    }
    g_autofree char *names = list_names(regions);
    fail(error, CVD_REGION_ERROR_NOT_PASSED,
         "region '%s' was not passed to this program, which has %s; name it in the program's "
         "\"regions\" in cvd.json",
         name, names[0] != '\0' ? names : "none");
    return NULL;
}

/* ---- What the descriptors are ---- */

/* Whoever could still change its size could make us die of SIGBUS. */
static const char *find_window_fault(int fd)
{
    struct stat info;
    int seals = fcntl(fd, F_GET_SEALS);

    if (fstat(fd, &info) < 0 || !S_ISREG(info.st_mode))
        return "is no memory";
    if (info.st_size < VSOC_PAGE_SIZE || info.st_size % VSOC_PAGE_SIZE != 0)
        return "has a size that no window has";
    if (seals >= 0 && (seals & (F_SEAL_SEAL | F_SEAL_SHRINK)) == 0)
        return "is memory of which anybody can change the size";
    return NULL;
}

/* A file, a socket or a pipe has a type; what has none is an eventfd or something else that nobody
 * passes on. Its name is in /proc alone, which may not be mounted, and takes longer than all of the
 * rest. */
static const char *find_doorbell_fault(int fd)
{
    struct stat info;

    return fstat(fd, &info) == 0 && (info.st_mode & S_IFMT) == 0 ? NULL : "is no eventfd";
}

static const char *find_connection_fault(int fd)
{
    int domain = 0, type = 0;
    socklen_t size = sizeof domain;

    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0 || domain != AF_UNIX ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_STREAM)
        return "is no UNIX stream socket";
    return NULL;
}

static const char *find_fault(CvdPassedFd kind, int fd)
{
    switch (kind) {
    case CVD_PASSED_WINDOW:
        return find_window_fault(fd);
    case CVD_PASSED_HOST_TO_GUEST:
    case CVD_PASSED_GUEST_TO_HOST:
        return find_doorbell_fault(fd);
    case CVD_PASSED_CONNECTION:
        return find_connection_fault(fd);
    case CVD_PASSED_N_FDS:
        break;
    }
    g_assert_not_reached();
}

static gboolean check_fd(const CvdPassed *passed, CvdPassedFd kind, GError **error)
{
    const char *region = passed->region, *suffix = cvd_passed_fd_get_suffix(kind);
    int fd = passed->fds[kind];

    if (fd < 0)
        return fail(
            error, CVD_REGION_ERROR_PROTOCOL,
            "region '%s': LISTEN_FDNAMES lacks %s%s, which whoever started this program has to "
            "pass as well",
            region, region, suffix);
    if (fcntl(fd, F_GETFD) < 0)
        return fail(
            error, CVD_REGION_ERROR_NOT_PASSED,
            "region '%s': descriptor %d, %s%s, is not open: it was closed, or another program "
            "has opened the region and has started this one",
            region, fd, region, suffix);
    const char *fault = find_fault(kind, fd);
    return fault == NULL ||
           fail(error, CVD_REGION_ERROR_PROTOCOL,
                "region '%s': descriptor %d, %s%s, %s: whoever started this program "
                "has passed something else",
                region, fd, region, suffix, fault);
}

gboolean cvd_passed_check(const CvdPassed *passed, GError **error)
{
    struct pollfd end = {.fd = passed->fds[CVD_PASSED_CONNECTION], .events = POLLIN};

    for (CvdPassedFd i = 0; i < CVD_PASSED_N_FDS; i++)
        if (!check_fd(passed, i, error))
            return FALSE;
    return poll(&end, 1, 0) == 0 ||
           fail(error, CVD_REGION_ERROR_CLOSED,
                "region '%s': the server has closed the connection: the VM has ended or begins "
                "anew; "
                "end this program, which is then started with the next VM's regions",
                passed->region);
}
