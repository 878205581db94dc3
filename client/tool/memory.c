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

static gboolean is_raw;
static gboolean is_forced;

static const GOptionEntry read_entries[] = {
    {"raw", 'r', 0, G_OPTION_ARG_NONE, &is_raw, "Write the bytes as they are", NULL},
    G_OPTION_ENTRY_NULL,
};

static const GOptionEntry write_entries[] = {
    {"raw", 'r', 0, G_OPTION_ARG_NONE, &is_raw, "Take bytes from stdin, up to its end", NULL},
    {"force", 'f', 0, G_OPTION_ARG_NONE, &is_forced, "Write to the signal tables, too", NULL},
    G_OPTION_ENTRY_NULL,
};

static gboolean print_chunk(CvdHexdump *dump, guint offset, GBytes *bytes, GError **error)
{
    gsize size;
    const guint8 *data = g_bytes_get_data(bytes, &size);
    if (is_raw)
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
    if (is_raw)
        return TRUE;
    g_autoptr(GString) end = g_string_new(NULL);
    cvd_hexdump_end(end, offset + count);
    return cvd_tool_put(end->str, end->len, error);
}

static gboolean print_json(CvdRegion *region, guint offset, guint count, GError **error)
{
    if (count > MAX_JSON_SIZE) {
        g_set_error(error, CVD_ERROR, CVD_ERROR_RESOURCES,
                    "%u bytes are too many for JSON, at most %u; read fewer, or with --raw", count,
                    MAX_JSON_SIZE);
        return FALSE;
    }
    g_autoptr(GBytes) bytes = cvd_region_read(region, offset, count, error);
    if (!bytes)
        return FALSE;
    const guint8 *data = g_bytes_get_data(bytes, NULL);
    g_autoptr(GString) hex = g_string_sized_new(2 * count);
    for (guint i = 0; i < count; i++)
        g_string_append_printf(hex, "%02x", data[i]);
    g_autoptr(JsonBuilder) builder = json_builder_new();
    json_builder_begin_object(builder);
    cvd_tool_json_string(builder, "region", cvd_region_get_name(region));
    cvd_tool_json_int(builder, "offset", offset);
    cvd_tool_json_int(builder, "count", count);
    cvd_tool_json_string(builder, "bytes", hex->str);
    json_builder_end_object(builder);
    return cvd_tool_print_json(builder, error);
}

static gboolean run_read(CvdTool *tool, char **arguments, GError **error)
{
    guint offset, count = 0;
    if (is_raw && tool->json) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    "--raw and --json exclude each other; give one");
        return FALSE;
    }
    if (!cvd_tool_parse_number(arguments[1], "OFFSET", 0, G_MAXUINT32, &offset, error) ||
        (arguments[2] &&
         !cvd_tool_parse_number(arguments[2], "COUNT", 1, G_MAXUINT32, &count, error)))
        return FALSE;
    g_autoptr(CvdRegion) region = cvd_tool_open(tool, arguments[0], error);
    if (!region || !cvd_tool_check_range(region, offset, MAX(count, 1), error))
        return FALSE;
    if (!arguments[2])
        count = cvd_region_get_size(region) - offset;
    return tool->json ? print_json(region, offset, count, error)
                      : print_bytes(tool, region, offset, count, error);
}

/* A terminal or a pipe may take for ever, so ctrl-c is waited for, too; @cancel: readable then */
static gssize read_some(CvdTool *tool, int cancel, guint8 *chunk, gsize size, GError **error)
{
    GPollFD wait[] = {{.fd = STDIN_FILENO, .events = G_IO_IN}, {.fd = cancel, .events = G_IO_IN}};
    gssize n;
    do {
        g_poll(wait, G_N_ELEMENTS(wait), -1);
        if (g_cancellable_set_error_if_cancelled(tool->cancellable, error))
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
    int cancel = g_cancellable_get_fd(tool->cancellable); /* which closes it in the end */
    while (input->len <= limit) {
        gssize n = read_some(tool, cancel, chunk, MIN(CHUNK, limit + 1 - input->len), error);
        if (n < 0)
            return NULL;
        if (n == 0)
            return g_byte_array_free_to_bytes(g_steal_pointer(&input));
        g_byte_array_append(input, chunk, (guint)n);
    }
    g_set_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_BAD_OFFSET,
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
    if (offset < cvd_region_get_data_offset(region) && !is_forced) {
        g_set_error(error, CVD_REGION_ERROR, CVD_REGION_ERROR_BAD_OFFSET,
                    "offset 0x%x of region '%s' is in its signal tables; its data starts at 0x%x; "
                    "--force writes there all the same",
                    offset, cvd_region_get_name(region), cvd_region_get_data_offset(region));
        return FALSE;
    }
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

static gboolean run_write(CvdTool *tool, char **arguments, GError **error)
{
    guint offset;
    g_autoptr(GArray) words = g_array_new(FALSE, FALSE, sizeof(guint32));
    if (!cvd_tool_parse_number(arguments[1], "OFFSET", 0, G_MAXUINT32, &offset, error) ||
        !parse_words(arguments + 2, words, error))
        return FALSE;
    if ((words->len > 0) == is_raw) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    is_raw ? "--raw takes the bytes from stdin; give no words"
                           : "write what? give words, or --raw for bytes from stdin");
        return FALSE;
    }
    g_autoptr(CvdRegion) region = cvd_tool_open(tool, arguments[0], error);
    if (!region)
        return FALSE;
    return is_raw ? write_raw(tool, region, offset, error)
                  : write_words(region, offset, words, error);
}

const CvdToolVerb cvd_tool_read = {
    .name = "read",
    .arguments = "REGION OFFSET [COUNT]",
    .summary = "Show bytes, up to the end or COUNT",
    .entries = read_entries,
    .min_arguments = 2,
    .max_arguments = 3,
    .run = run_read,
};

const CvdToolVerb cvd_tool_write = {
    .name = "write",
    .arguments = "REGION OFFSET [WORD...]",
    .summary = "Store 32-bit words, or bytes from stdin",
    .description = "A WORD is decimal, or hexadecimal with 0x. All are stored in their order, or\n"
                   "none. Nobody is told: see cvd-client signal.\n",
    .entries = write_entries,
    .min_arguments = 2,
    .max_arguments = 2 + MAX_WORDS,
    .run = run_write,
};
