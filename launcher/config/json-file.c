/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/config/json-file.h"

#include "base/error.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIFO_WAIT_MS 3000

/* Was opened without waiting; waits a while for a FIFO's writer, and lets read() wait from then on.
 */
static gboolean check_file(int fd, const char *path, GError **error)
{
    struct stat info;

    if (fd < 0 || fstat(fd, &info) < 0)
        return cvd_fail(error, CVD_ERROR_FAILED,
                        "%s: %s; name a JSON file that exists and can be read", path,
                        g_strerror(errno));
    if (!S_ISREG(info.st_mode) && !S_ISFIFO(info.st_mode))
        return cvd_fail(error, CVD_ERROR_FAILED, "%s: %s; name a JSON file", path,
                        S_ISDIR(info.st_mode) ? "is a directory" : "is not a regular file");
    if (info.st_size > CVD_JSON_MAX_SIZE)
        return cvd_fail(error, CVD_ERROR_INVALID, "%s: has %jd bytes; the limit is %d", path,
                        (gint64)info.st_size, CVD_JSON_MAX_SIZE);
    GPollFD writer = {.fd = fd, .events = G_IO_IN};
    if (S_ISFIFO(info.st_mode) && g_poll(&writer, 1, FIFO_WAIT_MS) == 0)
        return cvd_fail(error, CVD_ERROR_FAILED, "%s: a FIFO that nobody has written to", path);
    if (fcntl(fd, F_SETFL, 0) < 0)
        return cvd_fail(error, CVD_ERROR_FAILED, "%s: fcntl: %s", path, g_strerror(errno));
    return TRUE;
}

JsonNode *cvd_json_load(const char *path, GPtrArray *duplicates, GHashTable *lines, GError **error)
{
    static const char mark[] = "\ufeff";
    /* One byte more than allowed tells a text that is too long from one that is not. */
    const gsize room = CVD_JSON_MAX_SIZE + 1;
    cvd_autofd fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (!check_file(fd, path, error))
        return NULL;

    g_autofree char *text = g_malloc(room);
    gsize size = 0;
    gssize n;
    do {
        n = TEMP_FAILURE_RETRY(read(fd, text + size, room - size));
        size += n > 0 ? (gsize)n : 0;
    } while (n > 0 && size < room);
    if (n < 0) {
        cvd_fail(error, CVD_ERROR_FAILED, "%s: %s", path, g_strerror(errno));
        return NULL;
    }
    gsize n_mark = size >= strlen(mark) && memcmp(text, mark, strlen(mark)) == 0 ? strlen(mark) : 0;
    JsonNode *root = cvd_json_parse_lines(text + n_mark, size - n_mark, duplicates, lines, error);
    if (!root)
        g_prefix_error(error, "%s: ", path);
    return root;
}
