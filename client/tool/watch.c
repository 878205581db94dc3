/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `watch`: what is in a region's signal tables and interrupt words. Memory has no event for a
 * change, so it is looked at again and again, and what is there for a shorter time is missed. On a
 * terminal the picture is drawn anew in its place; elsewhere each change is a line.
 */
#include "base/error.h"
#include "base/terminal-size.h"
#include "client/tool/tool.h"
#include "client/tool/view.h"

#include <string.h>
#include <unistd.h>

#define DEFAULT_INTERVAL_MS 100
#define MAX_INTERVAL_S      3600
#define N_TABLES            2

/* A table and its word, as they were at the last look. */
typedef struct {
    const char *label;
    const char *json_name;
    guint n_slots;
    guint64 table_offset; /* in the window */
    guint64 word_offset;
    guint32 *slots;
    guint32 word;
    guint32 *new_slots;
    guint32 new_word;
} Table;

typedef struct {
    CvdTool *tool;
    CvdView *view;
    const CvdRegionInfo *info;
    Table tables[N_TABLES];
    guint interval_ms;
    gint64 start_us;
    gboolean is_terminal;
    guint n_drawn; /* rows of the last picture */
    guint64 n_changes;
} Watch;

static void watch_clear(Watch *watch)
{
    for (guint i = 0; i < N_TABLES; i++) {
        g_free(watch->tables[i].slots);
        g_free(watch->tables[i].new_slots);
    }
    g_clear_pointer(&watch->view, cvd_view_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Watch, watch_clear)

static void init_table(Table *table, const char *label, const char *json_name, guint32 begin,
                       const struct vsoc_signal_table_layout *layout)
{
    table->label = label;
    table->json_name = json_name;
    table->n_slots = 1u << layout->num_nodes_lg2;
    table->table_offset = (guint64)begin + layout->futex_uaddr_table_offset;
    table->word_offset = (guint64)begin + layout->interrupt_signalled_offset;
    table->slots = g_new0(guint32, table->n_slots);
    table->new_slots = g_new0(guint32, table->n_slots);
}

static gboolean look(Watch *watch, GError **error)
{
    for (guint i = 0; i < N_TABLES; i++) {
        Table *table = &watch->tables[i];
        if (!cvd_view_read(watch->view, table->word_offset, &table->new_word,
                           sizeof table->new_word, error) ||
            !cvd_view_read(watch->view, table->table_offset, table->new_slots,
                           table->n_slots * sizeof *table->new_slots, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean print_change(Watch *watch, const Table *table, int slot, guint32 old_value,
                             guint32 new_value, GError **error)
{
    double seconds = (double)(g_get_monotonic_time() - watch->start_us) / G_USEC_PER_SEC;
    watch->n_changes++;
    if (watch->tool->json) {
        GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE_VARDICT);
        cvd_tool_add_json(&builder, "{'time': <%d>, 'table': <%s>}", seconds, table->json_name);
        if (slot >= 0)
            cvd_tool_add_json(&builder, "{'slot': <%i>}", slot);
        cvd_tool_add_json(&builder, "{'old': <%u>, 'new': <%u>}", old_value, new_value);
        return cvd_tool_print_json(error, "%@a{sv}", g_variant_builder_end(&builder));
    }
    if (watch->is_terminal)
        return TRUE;
    g_autofree char *what = slot >= 0 ? g_strdup_printf("slot %d", slot) : g_strdup("word");
    return cvd_tool_print(error, "%.3f %s %s 0x%08x -> 0x%08x\n", seconds, table->label, what,
                          old_value, new_value);
}

/* Prints the changes, and remembers what is there now. */
static gboolean compare(Watch *watch, GError **error)
{
    for (guint i = 0; i < N_TABLES; i++) {
        Table *table = &watch->tables[i];
        if (table->word != table->new_word &&
            !print_change(watch, table, -1, table->word, table->new_word, error))
            return FALSE;
        for (guint s = 0; s < table->n_slots; s++)
            if (table->slots[s] != table->new_slots[s] &&
                !print_change(watch, table, (int)s, table->slots[s], table->new_slots[s], error))
                return FALSE;
        table->word = table->new_word;
        memcpy(table->slots, table->new_slots, table->n_slots * sizeof *table->slots);
    }
    return TRUE;
}

/* What is on the terminal: as many lines as it has room for below the cursor's. */
typedef struct {
    GString *text;
    guint n_rows;
    CvdTerminalSize size;
} Picture;

static void put_line(Picture *picture, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* A line that the terminal breaks takes two rows, and the next picture would not hit this one. */
static void put_line(Picture *picture, const char *format, ...)
{
    if (picture->n_rows + 1 >= picture->size.rows)
        return;
    va_list args;
    va_start(args, format);
    g_autofree char *line = g_strdup_vprintf(format, args);
    va_end(args);
    g_string_append_printf(picture->text, "%.*s\033[K\n", (int)picture->size.columns - 1, line);
    picture->n_rows++;
}

static void draw_table(Picture *picture, const Table *table, guint max_slots)
{
    guint n_taken = 0, n_shown = 0;
    for (guint i = 0; i < table->n_slots; i++)
        n_taken += table->slots[i] != 0;
    put_line(picture, "%s: word %u, %u of %u slots taken", table->label, table->word, n_taken,
             table->n_slots);
    for (guint i = 0; i < table->n_slots && n_shown < max_slots; i++) {
        if (table->slots[i] == 0)
            continue;
        put_line(picture, "  slot %5u: 0x%08x", i, table->slots[i]);
        n_shown++;
    }
}

static gboolean draw(Watch *watch, GError **error)
{
    g_autoptr(GString) text = g_string_new(NULL);
    Picture picture = {.text = text, .size = cvd_terminal_get_size(STDOUT_FILENO)};
    guint rows = picture.size.rows;
    guint max_slots = rows > 6 ? (rows - 4) / N_TABLES : 1;
    if (watch->n_drawn > 0)
        g_string_append_printf(text, "\033[%uA\r", watch->n_drawn);
    put_line(&picture, "%s: %" G_GUINT64_FORMAT " changes seen; ctrl-c ends", watch->info->name,
             watch->n_changes);
    for (guint i = 0; i < N_TABLES; i++)
        draw_table(&picture, &watch->tables[i], max_slots);
    g_string_append(text, "\033[J");
    watch->n_drawn = picture.n_rows;
    return cvd_tool_put(text->str, text->len, error);
}

/* Returns: FALSE at the end, with @error set */
static gboolean pause_or_end(Watch *watch, GError **error)
{
    GPollFD wait[] = {{.fd = watch->view->socket, .events = G_IO_IN | G_IO_HUP},
                      {.fd = STDOUT_FILENO, .events = G_IO_ERR}};
    if (!cvd_tool_poll(watch->tool, wait, G_N_ELEMENTS(wait), (int)watch->interval_ms, 0, error))
        return FALSE;
    if (wait[0].revents != 0)
        return cvd_fail(error, CVD_ERROR_CLOSED,
                        "the server has closed the connection: the window is gone, or has another "
                        "guest");
    /* Nobody reads a pipe that has an error, even if there is nothing to write. */
    if (wait[1].revents & G_IO_ERR)
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_BROKEN_PIPE, "stdout has no reader");
    return wait[1].revents == 0;
}

static gboolean watch_on(Watch *watch, GError **error)
{
    g_autoptr(GError) local_error = NULL;
    do {
        if (!look(watch, error) || !compare(watch, error) ||
            (watch->is_terminal && !draw(watch, error)))
            return FALSE;
    } while (pause_or_end(watch, &local_error));
    return cvd_tool_is_cancelled(local_error) || cvd_pass_error(error, &local_error);
}

gboolean cvd_tool_watch(CvdTool *tool, char **arguments, GError **error)
{
    g_auto(Watch) watch = {
        .tool = tool,
        .interval_ms = DEFAULT_INTERVAL_MS,
        .is_terminal = !tool->json && isatty(STDOUT_FILENO),
        .start_us = g_get_monotonic_time(),
    };
    struct vsoc_device_region descriptor;
    guint index;
    if (!cvd_tool_parse_seconds(cvd_tool_options.interval, "--interval", MAX_INTERVAL_S,
                                &watch.interval_ms, error))
        return FALSE;
    watch.interval_ms = MAX(watch.interval_ms, 1);
    const char *socket = cvd_tool_get_socket(tool, error);
    watch.view = socket ? cvd_view_open(socket, NULL, tool->cancellable, error) : NULL;
    if (!watch.view || !cvd_tool_find_region(watch.view->regions, arguments[0], &index, error) ||
        !cvd_view_get_descriptor(watch.view, index, &descriptor, error))
        return FALSE;
    watch.info = &g_array_index(watch.view->regions, CvdRegionInfo, index);
    init_table(&watch.tables[0], "guest to host", "guest_to_host", watch.info->begin,
               &descriptor.guest_to_host_signal_table);
    init_table(&watch.tables[1], "host to guest", "host_to_guest", watch.info->begin,
               &descriptor.host_to_guest_signal_table);
    return watch_on(&watch, error);
}
