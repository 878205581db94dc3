/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `read` and `write`: a region's bytes, for people as hex, for programs raw.
 */
#include "base/error.h"
#include "client/tool/hexdump.h"
#include "client/tool/tool.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define CHUNK         65536u
#define MAX_JSON_SIZE (16u << 20)
#define MAX_WORDS     4096u

G_STATIC_ASSERT(CHUNK % CVD_HEXDUMP_WIDTH == 0);

static gboolean print_chunk(CvdHexdump *dump, guint offset, GBytes *bytes, GError **error)
{
    gsize size;
    const guint8 *data = g_bytes_get_data(bytes, &size);
    if (cvd_tool_options.raw)
        return cvd_tool_put(data, size, error);
    g_autoptr(GString) text = g_string_new(NULL);
    cvd_hexdump_add(dump, text, offset, data, size);
    return cvd_tool_put(text->str, text->len, error);
}

static gboolean print_bytes(CvdTool *tool, CvdRegion *region, guint offset, guint count,
                            GError **error)
{
    CvdHexdump dump = {0};
    for (guint at = 0; at < count; at += MIN(CHUNK, count - at)) {
        if (g_cancellable_set_error_if_cancelled(tool->cancellable, error))
            return FALSE;
        g_autoptr(GBytes) bytes =
            cvd_region_read(region, offset + at, MIN(CHUNK, count - at), error);
        if (!bytes || !print_chunk(&dump, offset + at, bytes, error))
            return FALSE;
    }
    if (cvd_tool_options.raw)
        return TRUE;
    g_autoptr(GString) end = g_string_new(NULL);
    cvd_hexdump_end(end, offset + count);
    return cvd_tool_put(end->str, end->len, error);
}

static gboolean print_json(CvdRegion *region, guint offset, guint count, GError **error)
{
    if (count > MAX_JSON_SIZE)
        return cvd_fail(error, CVD_ERROR_RESOURCES,
                        "%u bytes are too many for JSON, at most %u; read fewer, or with --raw",
                        count, MAX_JSON_SIZE);
    g_autoptr(GBytes) bytes = cvd_region_read(region, offset, count, error);
    if (!bytes)
        return FALSE;
    const guint8 *data = g_bytes_get_data(bytes, NULL);
    g_autoptr(GString) hex = g_string_sized_new(2 * count);
    for (guint i = 0; i < count; i++)
        g_string_append_printf(hex, "%02x", data[i]);
    return cvd_tool_print_json(error,
                               "{'region': <%s>, 'offset': <%u>, 'count': <%u>, 'bytes': <%s>}",
                               cvd_region_get_name(region), offset, count, hex->str);
}

gboolean cvd_tool_read(CvdTool *tool, char **arguments, GError **error)
{
    guint offset, count = 0;
    if (cvd_tool_options.raw && tool->json)
        return cvd_tool_fail_usage(error, "--raw and --json exclude each other; give one");
    if (!cvd_tool_parse_number(arguments[1], "OFFSET", 0, G_MAXUINT32, &offset, error) ||
        !cvd_tool_parse_number(arguments[2], "COUNT", 1, G_MAXUINT32, &count, error))
        return FALSE;
    g_autoptr(CvdRegion) region = cvd_tool_open_to_read(tool, arguments[0], error);
    if (!region || !cvd_tool_check_range(region, offset, MAX(count, 1), error))
        return FALSE;
    if (!arguments[2])
        count = cvd_region_get_size(region) - offset;
    return tool->json ? print_json(region, offset, count, error)
                      : print_bytes(tool, region, offset, count, error);
}

/* A terminal or a pipe may take for ever, so ctrl-c is waited for, too. */
static gssize read_some(CvdTool *tool, guint8 *chunk, gsize size, GError **error)
{
    GPollFD input = {.fd = STDIN_FILENO, .events = G_IO_IN};
    gssize n;
    do {
        if (!cvd_tool_poll(tool, &input, 1, -1, 0, error))
            return -1;
        n = read(STDIN_FILENO, chunk, size);
    } while (n < 0 && (errno == EAGAIN || errno == EINTR));
    if (n < 0)
        cvd_set_error_errno(error, CVD_ERROR_FAILED, errno, "cannot read stdin");
    return n;
}

/* One byte more than @limit tells input that is too long from input that is not. */
static GBytes *read_stdin(CvdTool *tool, gsize limit, GError **error)
{
    g_autoptr(GByteArray) input = g_byte_array_new();
    g_autofree guint8 *chunk = g_malloc(CHUNK);
    while (input->len <= limit) {
        gssize n = read_some(tool, chunk, MIN(CHUNK, limit + 1 - input->len), error);
        if (n < 0)
            return NULL;
        if (n == 0)
            return g_byte_array_free_to_bytes(g_steal_pointer(&input));
        g_byte_array_append(input, chunk, (guint)n);
    }
    cvd_fail(error, CVD_ERROR_INVALID,
             "stdin has more than the %" G_GSIZE_FORMAT
             " bytes that the region has from that offset on; nothing was written",
             limit);
    return NULL;
}

/* Also: tables that the other side's driver works with are not to be overwritten by a slip. */
static gboolean check_write(CvdRegion *region, guint offset, guint64 size, GError **error)
{
    if (!cvd_tool_check_range(region, offset, size, error))
        return FALSE;
    if (offset < cvd_region_get_data_offset(region) && !cvd_tool_options.force)
        return cvd_fail(
            error, CVD_ERROR_INVALID,
            "offset 0x%x of region '%s' is in its signal tables; its data starts at 0x%x; "
            "--force writes there all the same",
            offset, cvd_region_get_name(region), cvd_region_get_data_offset(region));
    return TRUE;
}

static gboolean write_raw(CvdTool *tool, CvdRegion *region, guint offset, GError **error)
{
    if (!check_write(region, offset, 0, error))
        return FALSE;
    g_autoptr(GBytes) bytes = read_stdin(tool, cvd_region_get_size(region) - offset, error);
    return bytes && cvd_region_write(region, offset, bytes, error);
}

static gboolean parse_words(char **texts, GArray *words, GError **error)
{
    for (; *texts; texts++) {
        guint word;
        if (!cvd_tool_parse_number(*texts, "WORD", 0, G_MAXUINT32, &word, error))
            return FALSE;
        g_array_append_val(words, word);
    }
    return TRUE;
}

static gboolean write_words(CvdRegion *region, guint offset, GArray *words, GError **error)
{
    if (!cvd_tool_check_word(region, offset, error) ||
        !check_write(region, offset, 4 * (guint64)words->len, error) ||
        !cvd_region_allocate(region, offset, 4 * (gsize)words->len, error))
        return FALSE;
    for (guint i = 0; i < words->len; i++)
        if (!cvd_region_store(region, offset + 4 * i, g_array_index(words, guint32, i), error))
            return FALSE;
    return TRUE;
}

gboolean cvd_tool_write(CvdTool *tool, char **arguments, GError **error)
{
    guint offset;
    g_autoptr(GArray) words = g_array_new(FALSE, FALSE, sizeof(guint32));
    if (!cvd_tool_parse_number(arguments[1], "OFFSET", 0, G_MAXUINT32, &offset, error) ||
        !parse_words(arguments + 2, words, error))
        return FALSE;
    if ((words->len > 0) == cvd_tool_options.raw)
        return cvd_tool_fail_usage(
            error, cvd_tool_options.raw ? "--raw takes the bytes from stdin; give no words"
                                        : "write what? give words, or --raw for bytes from stdin");
    g_autoptr(CvdRegion) region = cvd_tool_open(tool, arguments[0], error);
    if (!region)
        return FALSE;
    return cvd_tool_options.raw ? write_raw(tool, region, offset, error)
                                : write_words(region, offset, words, error);
}
