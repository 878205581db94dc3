/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json-glib with a fence: what gets to it has been bounded and checked by cvd_json_scan(), so that
 * its parser neither crashes nor guesses.
 */
#include "launcher/config/json.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/json-text.h"
#include "launcher/config/json-scan.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIFO_WAIT_MS 3000

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
    g_autofree char *marked = cvd_json_text_mark_numbers(text, size);
    if (!json_parser_load_from_data(parser, marked, -1, &local_error)) {
        g_set_error(error, CVD_ERROR, CVD_ERROR_INVALID, "%s", local_error->message);
        return NULL;
    }
    return json_parser_steal_root(parser);
}

JsonNode *cvd_json_parse_leniently(CvdJsonSpan span)
{
    CvdJsonFramer framer = {0};
    JsonNode *node = cvd_json_parse(span.text, span.size, NULL, NULL);

    if (node != NULL)
        return node;
    if (span.size == 0 || *span.text != '{')
        return json_node_new(JSON_NODE_NULL);
    JsonObject *object = json_object_new();
    cvd_json_framer_feed(&framer, span.text, span.size);
    for (guint i = 0; i < framer.n_members; i++) {
        CvdJsonSpan key = cvd_json_framer_get_key(&framer, span.text, i);
        CvdJsonSpan value = cvd_json_framer_get_value(&framer, span.text, i);
        g_autoptr(JsonNode) name = cvd_json_parse(key.text, key.size, NULL, NULL);
        JsonNode *member = cvd_json_parse(value.text, value.size, NULL, NULL);
        if (member != NULL && name != NULL && json_node_get_value_type(name) == G_TYPE_STRING)
            json_object_set_member(object, json_node_get_string(name), g_steal_pointer(&member));
        g_clear_pointer(&member, json_node_unref);
    }
    node = json_node_new(JSON_NODE_OBJECT);
    json_node_take_object(node, object);
    return node;
}

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

void cvd_json_builder_add_text(JsonBuilder *builder, const char *text)
{
    JsonNode *node = cvd_json_parse(text, strlen(text), NULL, NULL);

    if (node != NULL)
        json_builder_add_value(builder, node);
    else
        json_builder_add_string_value(builder, text);
}

char *cvd_json_to_string(JsonNode *node, gboolean is_pretty)
{
    return cvd_json_text_fix_numbers(json_to_string(node, is_pretty));
}
