/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `top`: a look at all instances once in a while. On a terminal the picture is drawn in place, on
 * the alternate screen, so that what was there before comes back; elsewhere each look is a table.
 */
#include "base/instance.h"
#include "base/raw-terminal.h"
#include "base/terminal-size.h"
#include "ctl/top-look.h"

#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <unistd.h>

#define DEFAULT_INTERVAL_MS 1000
#define MIN_INTERVAL_MS     100
#define MAX_INTERVAL_S      3600
#define MAX_COUNT           1000000000
#define CTRL_C              0x03
#define CTRL_L              0x0c
#define CTRL_Z              0x1a

/* The alternate screen, no cursor, and no wrapping of a line that is too wide after all. */
#define ENTER_SCREEN "\033[?1049h\033[?25l\033[?7l"
#define LEAVE_SCREEN "\033[?7h\033[?25h\033[?1049l"

typedef struct {
    CvdTool *tool;
    guint interval_ms;
    guint n_left; /* looks; 0 = without end */
    gboolean is_screen;
    gboolean is_over; /* somebody has typed q */
    gboolean is_due;  /* the next look */
    gboolean is_bare; /* the screen has another size, or was somebody else's: draw */
    GPtrArray *look;
    GSource *keys;
    guint window_changes;
    GError *error;
} Top;

/* ---- Showing ---- */

static char *make_title(const Top *top)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_local();
    g_autofree char *time = g_date_time_format(now, "%H:%M:%S");

    if (!top->is_screen)
        return g_steal_pointer(&time);
    return g_strdup_printf("%s  instances: %u  q ends", time, top->look->len);
}

static gboolean draw(Top *top)
{
    CvdTerminalSize size = cvd_terminal_get_size(STDOUT_FILENO);
    g_autofree char *title = make_title(top);
    g_autoptr(GPtrArray) lines = cvd_top_format(top->look, title, size.columns, size.rows);
    g_autoptr(GString) text = g_string_new("\033[H");

    for (guint i = 0; i < lines->len; i++)
        g_string_append_printf(text, "%s%s\033[K", i > 0 ? "\r\n" : "",
                               (const char *)g_ptr_array_index(lines, i));
    g_string_append(text, "\033[J");
    top->is_bare = FALSE;
    return cvd_tool_put(text->str, text->len, &top->error);
}

static gboolean print_table(Top *top)
{
    g_autofree char *title = make_title(top);
    guint columns = isatty(STDOUT_FILENO) ? cvd_terminal_get_size(STDOUT_FILENO).columns : G_MAXINT;
    g_autoptr(GPtrArray) lines = cvd_top_format(top->look, title, columns, 0);
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < lines->len; i++)
        g_string_append_printf(text, "%s\n", (const char *)g_ptr_array_index(lines, i));
    if (top->n_left != 1)
        g_string_append_c(text, '\n');
    return cvd_tool_put(text->str, text->len, &top->error);
}

/* ---- JSON ---- */

static GVariant *describe_region(const CvdTopInstance *instance, const CvdTopRegion *region)
{
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE_VARDICT);

    cvd_tool_add_json(&builder, "{'device_name': <%s>, 'clients': <%u>}", region->name,
                      region->n_clients);
    if (instance->is_traced)
        cvd_tool_add_json(&builder, "{'to_guest': <%t>, 'to_host': <%t>}", region->n_to_guest,
                          region->n_to_host);
    if (region->to_guest_rate >= 0)
        cvd_tool_add_json(&builder, "{'to_guest_per_second': <%d>, 'to_host_per_second': <%d>}",
                          region->to_guest_rate, region->to_host_rate);
    return g_variant_builder_end(&builder);
}

static GVariant *describe_program(const CvdTopProgram *program)
{
    return g_variant_new_parsed("{'name': <%s>, 'state': <%s>, 'reason': <%s>, 'pid': <%u>,"
                                " 'restarts': <%u>, 'since_s': <%d>, 'regions': <%^as>}",
                                program->name, program->state, program->reason, program->pid,
                                program->n_restarts, (double)program->age_us / G_USEC_PER_SEC,
                                program->regions);
}

static GVariant *describe_instance(const CvdTopInstance *instance)
{
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE_VARDICT);
    GVariantBuilder programs = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("aa{sv}"));
    GVariantBuilder regions = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("aa{sv}"));

    for (guint i = 0; i < instance->programs->len; i++)
        g_variant_builder_add_value(&programs,
                                    describe_program(g_ptr_array_index(instance->programs, i)));
    for (guint i = 0; i < instance->regions->len; i++)
        g_variant_builder_add_value(
            &regions, describe_region(instance, g_ptr_array_index(instance->regions, i)));
    cvd_tool_add_json(&builder, "{'name': <%s>, 'state': <%s>}", instance->name, instance->state);
    if (instance->launcher_pid != 0)
        cvd_tool_add_json(&builder,
                          "{'launcher_pid': <%u>, 'vm_pid': <%u>, 'uptime_s': <%d>,"
                          " 'restarts': <%u>, 'clients': <%u>, 'traced': <%b>}",
                          instance->launcher_pid, instance->vm_pid,
                          (double)instance->uptime_us / G_USEC_PER_SEC, instance->n_restarts,
                          instance->n_clients, instance->is_traced);
    cvd_tool_add_json(&builder, "{'programs': <%@aa{sv}>, 'regions': <%@aa{sv}>}",
                      g_variant_builder_end(&programs), g_variant_builder_end(&regions));
    return g_variant_builder_end(&builder);
}

static gboolean print_json(Top *top)
{
    GVariantBuilder instances = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("aa{sv}"));
    g_autofree char *time = cvd_tool_get_time();

    for (guint i = 0; i < top->look->len; i++)
        g_variant_builder_add_value(&instances, describe_instance(g_ptr_array_index(top->look, i)));
    return cvd_tool_print_json(&top->error, "{'time': <%s>, 'instances': <%@aa{sv}>}", time,
                               g_variant_builder_end(&instances));
}

static gboolean show(Top *top)
{
    if (top->is_screen)
        return draw(top);
    return top->tool->json ? print_json(top) : print_table(top);
}

/* ---- The terminal ---- */

static void end(Top *top)
{
    top->is_over = TRUE;
    g_cancellable_cancel(top->tool->cancellable); /* of a look that is on its way */
}

static void handle_key(Top *top, char key)
{
    if (key == 'q' || key == 'Q' || key == CTRL_C)
        end(top);
    else if (key == CTRL_Z)
        raise(SIGTSTP); /* as the terminal would, were it not raw */
    if (key == CTRL_Z || key == CTRL_L)
        top->is_bare = TRUE;
}

static gboolean on_keys(int fd, GIOCondition condition, gpointer data)
{
    Top *top = data;
    char keys[64];
    gssize n = read(fd, keys, sizeof keys);

    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
        end(top); /* it was hung up */
    for (gssize i = 0; i < n && !top->is_over; i++)
        handle_key(top, keys[i]);
    return top->is_over ? G_SOURCE_REMOVE : G_SOURCE_CONTINUE;
}

static gboolean on_window_change(gpointer data)
{
    ((Top *)data)->is_bare = TRUE;
    return G_SOURCE_CONTINUE;
}

static void take_terminal(Top *top)
{
    static const int ends[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};

    if (!isatty(STDOUT_FILENO) || top->tool->json || top->n_left > 0)
        return;
    cvd_raw_terminal_set_screen(ENTER_SCREEN, LEAVE_SCREEN);
    cvd_raw_terminal_catch_ends(ends, G_N_ELEMENTS(ends), NULL);
    if (!cvd_raw_terminal_enter())
        return;
    top->is_screen = TRUE;
    top->keys = g_unix_fd_source_new(STDIN_FILENO, G_IO_IN | G_IO_HUP);
    g_source_set_callback(top->keys, G_SOURCE_FUNC(on_keys), top, NULL);
    g_source_attach(top->keys, NULL);
    top->window_changes = g_unix_signal_add(SIGWINCH, on_window_change, top);
}

static void give_terminal_back(Top *top)
{
    if (!top->is_screen)
        return;
    cvd_raw_terminal_leave();
    g_source_remove(top->window_changes);
    g_source_destroy(top->keys);
    g_source_unref(top->keys);
}

/* ---- Looking ---- */

static gboolean look(Top *top)
{
    GPtrArray *now = cvd_top_look(top->tool, &top->error);

    if (now == NULL)
        return FALSE;
    cvd_top_set_rates(now, top->look);
    g_clear_pointer(&top->look, g_ptr_array_unref);
    top->look = now;
    return TRUE;
}

static gboolean on_due(gpointer data)
{
    ((Top *)data)->is_due = TRUE;
    return G_SOURCE_REMOVE;
}

static gboolean on_interrupt(GCancellable *cancellable, gpointer data)
{
    return G_SOURCE_REMOVE; /* it has woken the loop */
}

/* Until the next look is due. Returns: whether there is to be one */
static gboolean pause_until_due(Top *top)
{
    guint timer = g_timeout_add(top->interval_ms, on_due, top);

    top->is_due = FALSE;
    while (!top->is_due && !g_cancellable_is_cancelled(top->tool->cancellable) &&
           top->error == NULL) {
        if (top->is_bare && top->is_screen)
            draw(top);
        else
            g_main_context_iteration(NULL, TRUE);
    }
    if (!top->is_due)
        g_source_remove(timer);
    return top->is_due;
}

/* A name that is misspelt would be looked for in vain, again and again. */
static gboolean check_found(Top *top)
{
    g_autofree char *socket = NULL;

    if (top->look->len == 0 && top->tool->group != NULL)
        return cvd_ctl_fail_no_group(top->tool, &top->error);
    if (top->look->len > 0 || top->tool->name == NULL)
        return TRUE;
    socket = cvd_instance_find_socket(top->tool->name, "control.sock", &top->error);
    return socket != NULL;
}

/* A rate takes two looks, which a table that comes but once waits for. */
static gboolean has_rates_to_come(const Top *top)
{
    for (guint i = 0; i < top->look->len; i++)
        if (((const CvdTopInstance *)g_ptr_array_index(top->look, i))->is_traced)
            return !top->is_screen;
    return FALSE;
}

static void go_round(Top *top)
{
    gboolean is_due = look(top) && check_found(top);

    if (is_due && has_rates_to_come(top))
        is_due = pause_until_due(top) && look(top);
    while (is_due && show(top) && top->n_left != 1) {
        top->n_left -= top->n_left > 0 ? 1 : 0;
        is_due = pause_until_due(top) && look(top);
    }
}

static gboolean read_options(Top *top, GError **error)
{
    if (cvd_ctl_options.once && cvd_ctl_options.count != NULL)
        return cvd_tool_fail_usage(error, "--once and --count both say how often; give one");
    top->n_left = cvd_ctl_options.once ? 1 : 0;
    if (!cvd_tool_parse_number(cvd_ctl_options.count, "--count", 1, MAX_COUNT, &top->n_left,
                               error) ||
        !cvd_tool_parse_seconds(cvd_ctl_options.interval, "--interval", MAX_INTERVAL_S,
                                &top->interval_ms, error))
        return FALSE;
    top->interval_ms = MAX(top->interval_ms, MIN_INTERVAL_MS);
    return TRUE;
}

gboolean cvd_ctl_top(CvdTool *tool, char **arguments, GError **error)
{
    Top top = {.tool = tool, .interval_ms = DEFAULT_INTERVAL_MS};
    g_autoptr(GSource) interrupt = g_cancellable_source_new(tool->cancellable);

    if (!read_options(&top, error))
        return FALSE;
    g_source_set_callback(interrupt, G_SOURCE_FUNC(on_interrupt), NULL, NULL);
    g_source_attach(interrupt, NULL);
    take_terminal(&top);
    go_round(&top);
    give_terminal_back(&top);
    g_source_destroy(interrupt);
    g_clear_pointer(&top.look, g_ptr_array_unref);
    if (top.error != NULL && !cvd_tool_is_cancelled(top.error)) {
        g_propagate_error(error, top.error);
        return FALSE;
    }
    g_clear_error(&top.error);
    return TRUE;
}
