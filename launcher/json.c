/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json-glib with a fence: what gets to it has been bounded and checked by cvd_json_scan(), so that
 * its parser neither crashes nor guesses.
 */
#include "launcher/json.h"

#include "base/error.h"
#include "base/fd.h"
#include "launcher/json-scan.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Longer names are not compared: the cost is the product of the lengths. */
#define MAX_COMPARED_NAME 64

JsonNode *cvd_json_parse(const char *text, gsize size, GPtrArray *duplicates, GError **error)
{
    if (size > CVD_JSON_MAX_SIZE) {
        g_set_error(error, CVD_ERROR, CVD_ERROR_INVALID, "longer than %d bytes, the limit",
                    CVD_JSON_MAX_SIZE);
        return NULL;
    }
    if (!cvd_json_scan(text, size, duplicates, error))
        return NULL;

    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(GError) local_error = NULL;
    if (!json_parser_load_from_data(parser, text, (gssize)size, &local_error)) {
        g_set_error(error, CVD_ERROR, CVD_ERROR_INVALID, "%s", local_error->message);
        return NULL;
    }
    return json_parser_steal_root(parser);
}

/* Opens without waiting for a FIFO's writer, but reads like anybody else. */
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

JsonNode *cvd_json_load(const char *path, GPtrArray *duplicates, GError **error)
{
    g_autoptr(GByteArray) text = read_text(path, error);
    if (!text)
        return NULL;
    const char *bytes = text->len > 0 ? (const char *)text->data : "";
    JsonNode *root = cvd_json_parse(bytes, text->len, duplicates, error);
    if (!root)
        g_prefix_error(error, "%s: ", path);
    return root;
}

/* Edit distance in which case does not count and neighbours that changed places count once. */
static guint edit_distance(const char *a, const char *b)
{
    guint rows[3][MAX_COMPARED_NAME + 1];
    guint n = (guint)strlen(b);
    guint *before = rows[0], *previous = rows[1], *current = rows[2];

    for (guint j = 0; j <= n; j++)
        previous[j] = j;
    for (guint i = 1; a[i - 1]; i++) {
        current[0] = i;
        for (guint j = 1; j <= n; j++) {
            char ca = g_ascii_tolower(a[i - 1]), cb = g_ascii_tolower(b[j - 1]);
            guint least = previous[j - 1] + (ca != cb);
            least = MIN(least, MIN(previous[j], current[j - 1]) + 1);
            if (i > 1 && j > 1 && ca == g_ascii_tolower(b[j - 2]) &&
                cb == g_ascii_tolower(a[i - 2]))
                least = MIN(least, before[j - 2] + 1);
            current[j] = least;
        }
        guint *free_row = before;
        before = previous;
        previous = current;
        current = free_row;
    }
    return previous[n];
}

const char *cvd_nearest_name(const char *name, const char *const *known)
{
    gsize length = strlen(name);
    if (length > MAX_COMPARED_NAME)
        return NULL;

    const char *nearest = NULL;
    guint least = 2 + (guint)length / 4; /* so much may differ, less one */
    for (; *known; known++) {
        if (strlen(*known) > MAX_COMPARED_NAME)
            continue;
        guint distance = edit_distance(name, *known);
        /* Nothing in common is no nearness, however short the names. */
        if (distance < least && distance < MAX(length, strlen(*known))) {
            least = distance;
            nearest = *known;
        }
    }
    return nearest;
}
