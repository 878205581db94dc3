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

/* Opens without waiting, then waits a while for a FIFO's writer, and reads like anybody else. */
static int open_text(const char *path, GError **error)
{
    cvd_autofd fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) < 0) {
        g_set_error(error, CVD_ERROR, CVD_ERROR_FAILED,
                    "%s: %s; name a JSON file that exists and can be read", path,
                    g_strerror(errno));
        return -1;
    }
    if (!S_ISREG(info.st_mode) && !S_ISFIFO(info.st_mode)) {
        g_set_error(error, CVD_ERROR, CVD_ERROR_FAILED, "%s: %s; name a JSON file", path,
                    S_ISDIR(info.st_mode) ? "is a directory" : "is not a regular file");
        return -1;
    }
    if (info.st_size > CVD_JSON_MAX_SIZE) {
        g_set_error(error, CVD_ERROR, CVD_ERROR_INVALID,
                    "%s: has %" G_GINT64_FORMAT " bytes; the limit is %d", path,
                    (gint64)info.st_size, CVD_JSON_MAX_SIZE);
        return -1;
    }
    GPollFD writer = {.fd = fd, .events = G_IO_IN};
    if (S_ISFIFO(info.st_mode) && g_poll(&writer, 1, FIFO_WAIT_MS) == 0) {
        g_set_error(error, CVD_ERROR, CVD_ERROR_FAILED, "%s: a FIFO that nobody has written to",
                    path);
        return -1;
    }
    if (fcntl(fd, F_SETFL, 0) < 0) {
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s: fcntl", path);
        return -1;
    }
    return g_steal_fd(&fd);
}

/* One byte more than allowed tells a text that is too long from one that is not. */
static GByteArray *read_text(const char *path, GError **error)
{
    cvd_autofd fd = open_text(path, error);
    if (fd < 0)
        return NULL;

    g_autoptr(GByteArray) text = g_byte_array_new();
    guint8 chunk[16384];
    while (text->len <= CVD_JSON_MAX_SIZE) {
        gsize room = MIN(sizeof chunk, CVD_JSON_MAX_SIZE + 1 - text->len);
        gssize n = TEMP_FAILURE_RETRY(read(fd, chunk, room));
        if (n < 0) {
            cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "%s", path);
            return NULL;
        }
        if (n == 0)
            break;
        g_byte_array_append(text, chunk, (guint)n);
    }
    return g_steal_pointer(&text);
}

JsonNode *cvd_json_load(const char *path, GPtrArray *duplicates, GHashTable *lines, GError **error)
{
    static const char mark[] = "\ufeff";
    g_autoptr(GByteArray) text = read_text(path, error);
    if (!text)
        return NULL;
    gsize n_mark = sizeof mark - 1;
    if (text->len >= n_mark && memcmp(text->data, mark, n_mark) == 0)
        g_byte_array_remove_range(text, 0, n_mark);
    JsonNode *root =
        cvd_json_parse_lines((const char *)text->data, text->len, duplicates, lines, error);
    if (!root)
        g_prefix_error(error, "%s: ", path);
    return root;
}
