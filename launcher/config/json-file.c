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

/* One byte more than allowed tells a text that is too long from one that is not. Not all of that at
 * once: free() of so large a piece has malloc keep as much from then on (mallopt(3),
 * M_MMAP_THRESHOLD). */
static GByteArray *read_text(int fd, GError **error)
{
    guint8 chunk[16384];
    g_autoptr(GByteArray) text = g_byte_array_sized_new(sizeof chunk);
    gssize n;

    do {
        n = TEMP_FAILURE_RETRY(
            read(fd, chunk, MIN(sizeof chunk, CVD_JSON_MAX_SIZE + 1 - text->len)));
        if (n < 0) {
            cvd_fail(error, CVD_ERROR_FAILED, "%s", g_strerror(errno));
            return NULL;
        }
        g_byte_array_append(text, chunk, (guint)n);
    } while (n > 0 && text->len <= CVD_JSON_MAX_SIZE);
    return g_steal_pointer(&text);
}

JsonNode *cvd_json_load(const char *path, const char *opened, GPtrArray *duplicates,
                        GHashTable *lines, GError **error)
{
    static const char mark[] = "\ufeff";
    cvd_autofd fd =
        open(opened != NULL ? opened : path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (!check_file(fd, path, error))
        return NULL;

    g_autoptr(GByteArray) text = read_text(fd, error);
    if (!text) {
        g_prefix_error(error, "%s: ", path);
        return NULL;
    }
    const char *start = (const char *)text->data;
    gsize n_mark =
        text->len >= strlen(mark) && memcmp(start, mark, strlen(mark)) == 0 ? strlen(mark) : 0;
    JsonNode *root =
        cvd_json_parse_lines(start + n_mark, text->len - n_mark, duplicates, lines, error);
    if (!root)
        g_prefix_error(error, "%s: ", path);
    return root;
}
