/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One writer function for GLib's structured log, called from any thread. stderr is shared with
 * whoever started us, so its O_NONBLOCK flag is not ours to set; lines that must not block go
 * through a file description of our own, or as datagrams to the journal. What neither takes at once
 * waits in a bounded queue, which the main loop empties when there is room again.
 */
#include "base/log.h"

#include "base/fd.h"
#include "base/source.h"
#include "base/terminal-text.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_QUOTED_BYTES 32
#define MAX_MESSAGE_SIZE (64 * 1024)
#define JOURNAL_SOCKET   "/run/systemd/journal/socket"

/* What goes at once or not at all: a line, or a datagram. */
typedef struct {
    GString *text;
    guint n_lines; /* that are lost with it */
} Item;

static struct {
    char *program;
    char *instance; /* NULL: none, or not known yet */
    gboolean is_installed;
    gboolean verbose;
    gboolean to_journal;
    int fd;
    GMainContext *context; /* NULL: lines may block */
    gboolean is_stuck;     /* the journal, which has been waited for in vain */
    GSource *room;         /* waits for it in `context`; NULL while nothing waits */
    gboolean is_file;
    CvdLogNewFile new_file; /* NULL: none can be made */
    gpointer new_file_data;
    GQueue items;
    gsize n_queued; /* bytes */
    guint n_lost;   /* lines, not yet reported */
} log_state = {.fd = STDERR_FILENO};

/* Of all of `log_state` that changes after the start. */
G_LOCK_DEFINE_STATIC(log_state);

/* ---- What is written ---- */

static const char *level_mark(GLogLevelFlags level)
{
    if (level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL))
        return "error: ";
    if (level & G_LOG_LEVEL_WARNING)
        return "warning: ";
    return "";
}

static void append_time(GString *line)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_local();
    g_autofree char *text = g_date_time_format(now, log_state.is_file ? "%F %T" : "%T");

    g_string_append_printf(line, "%s.%03d ", text, g_date_time_get_microsecond(now) / 1000);
}

/* A peer's line feed does not begin a line that looks like another message. */
static GString *format_line(const char *mark, const char *message, gsize size)
{
    const char *name = log_state.instance != NULL ? log_state.instance : log_state.program;
    GString *line = g_string_new(NULL);

    if (log_state.verbose || log_state.is_file)
        append_time(line);
    g_string_append_printf(line, "%s: %s", name != NULL ? name : "cvd", mark);
    cvd_terminal_text_append(line, message, size, TRUE);
    g_string_replace(line, "\n", "\n  ", 0);
    g_string_append_c(line, '\n');
    return line;
}

/* In the form for values with a line feed in them, which is right for all. */
static void append_field(GString *entry, const char *key, const char *value, gsize size)
{
    guint64 size_le = GUINT64_TO_LE((guint64)size);

    g_string_append_printf(entry, "%s\n", key);
    g_string_append_len(entry, (const char *)&size_le, sizeof size_le);
    g_string_append_len(entry, value, (gssize)size);
    g_string_append_c(entry, '\n');
}

static gsize field_size(const GLogField *field)
{
    gsize size = field->length < 0 ? strlen(field->value) : (gsize)field->length;

    return MIN(size, MAX_MESSAGE_SIZE);
}

static GString *format_entry(const GLogField *fields, gsize n_fields)
{
    GString *entry = g_string_new(NULL);

    if (log_state.program != NULL)
        append_field(entry, "SYSLOG_IDENTIFIER", log_state.program, strlen(log_state.program));
    if (log_state.instance != NULL)
        append_field(entry, "CVD_INSTANCE", log_state.instance, strlen(log_state.instance));
    for (gsize i = 0; i < n_fields; i++)
        append_field(entry, fields[i].key, fields[i].value, field_size(&fields[i]));
    return entry;
}

static GString *format_note(void)
{
    g_autofree char *text = g_strdup_printf("%u %s dropped, as nobody read them", log_state.n_lost,
                                            log_state.n_lost == 1 ? "line" : "lines");
    const GLogField fields[] = {{"PRIORITY", "4", -1}, {"MESSAGE", text, -1}};

    return log_state.to_journal ? format_entry(fields, G_N_ELEMENTS(fields))
                                : format_line("", text, strlen(text));
}

/* ---- How it is written ---- */

static gboolean connect_journal(void)
{
    const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET};

    return connect(log_state.fd, (const struct sockaddr *)&address, sizeof address) == 0;
}

/* Before the main loop runs there is nothing that could wait for room; and a program that ends soon
 * may end before a journal that is merely slow has taken what it has to say. */
static gssize send_to_journal(const GString *entry)
{
    gboolean may_wait = log_state.context == NULL && !log_state.is_stuck;
    int flags = MSG_NOSIGNAL | (may_wait ? 0 : MSG_DONTWAIT);
    gssize n = send(log_state.fd, entry->str, entry->len, flags);

    if (n < 0 && (errno == ECONNREFUSED || errno == ENOTCONN) && connect_journal())
        n = send(log_state.fd, entry->str, entry->len, flags); /* to one that was started anew */
    log_state.is_stuck = n < 0 && errno == EAGAIN;
    return n;
}

static gssize put(const GString *text)
{
    if (log_state.to_journal)
        return send_to_journal(text);
    return log_state.context != NULL ? cvd_fd_write_nowait(log_state.fd, text->str, text->len)
                                     : write(log_state.fd, text->str, text->len);
}

static void enqueue(GString *take_text, guint n_lines)
{
    Item *item = g_new(Item, 1);

    *item = (Item){.text = take_text, .n_lines = n_lines};
    log_state.n_queued += take_text->len;
    g_queue_push_tail(&log_state.items, item);
}

static guint dequeue(void)
{
    Item *item = g_queue_pop_head(&log_state.items);
    guint n_lines = item->n_lines;

    log_state.n_queued -= item->text->len;
    g_string_free(item->text, TRUE);
    g_free(item);
    return n_lines;
}

static void enqueue_note(void)
{
    if (log_state.n_lost > 0)
        enqueue(format_note(), log_state.n_lost);
    log_state.n_lost = 0;
}

/* A new one becomes stderr, whoever writes there. */
static void replace_file(int take_fd)
{
    fcntl(take_fd, F_SETFL, O_APPEND);
    dup2(take_fd, STDERR_FILENO);
    close(take_fd);
}

static int make_file(void)
{
    return log_state.new_file != NULL ? log_state.new_file(log_state.new_file_data) : -1;
}

static void make_room_in_file(gsize size)
{
    struct stat st;

    if (!log_state.is_file || fstat(STDERR_FILENO, &st) < 0 ||
        (gsize)st.st_size + size <= CVD_LOG_MAX_FILE)
        return;
    int fd = make_file();
    if (fd >= 0)
        replace_file(fd);
    else if (ftruncate(STDERR_FILENO, 0) < 0)
        log_state.n_lost++;
}

/* Returns: whether something waits for room */
static gboolean flush(void)
{
    while (!g_queue_is_empty(&log_state.items)) {
        GString *text = ((Item *)g_queue_peek_head(&log_state.items))->text;
        make_room_in_file(text->len);
        gssize n = put(text);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return TRUE;
        if (n < 0) {
            log_state.n_lost += dequeue();
            continue;
        }
        if ((gsize)n < text->len) {
            log_state.n_queued -= (gsize)n;
            g_string_erase(text, 0, n);
            continue;
        }
        dequeue();
        if (g_queue_is_empty(&log_state.items))
            enqueue_note();
    }
    return FALSE;
}

static gboolean on_room(int fd, GIOCondition condition, gpointer data)
{
    G_LOCK(log_state);
    if (!flush())
        cvd_source_clear(&log_state.room);
    G_UNLOCK(log_state);
    return G_SOURCE_CONTINUE;
}

static void watch_for_room(void)
{
    if (log_state.context == NULL || log_state.room != NULL)
        return;
    log_state.room = g_unix_fd_source_new(log_state.fd, G_IO_OUT);
    g_source_set_callback(log_state.room, G_SOURCE_FUNC(on_room), NULL, NULL);
    g_source_attach(log_state.room, log_state.context);
}

static void write_text(GString *take_text)
{
    G_LOCK(log_state);
    gboolean is_waiting = flush();
    if (is_waiting && log_state.n_queued + take_text->len > CVD_LOG_MAX_QUEUED) {
        log_state.n_lost++;
        g_string_free(take_text, TRUE);
    } else {
        enqueue_note();
        enqueue(take_text, 1);
    }
    if (flush())
        watch_for_room();
    G_UNLOCK(log_state);
}

static void flush_at_exit(void)
{
    G_LOCK(log_state);
    flush();
    G_UNLOCK(log_state);
}

/* Libraries' warnings may be a peer's doing: one of GDBus for each message that it cannot parse. */
static gboolean may_pass(const char *domain)
{
    static CvdLogLimit others;
    G_LOCK_DEFINE_STATIC(others);

    if (g_strcmp0(domain, G_LOG_DOMAIN) == 0)
        return TRUE;
    G_LOCK(others);
    gboolean passes = cvd_log_limit_pass(&others, g_get_monotonic_time());
    G_UNLOCK(others);
    return passes;
}

static GLogWriterOutput write_log(GLogLevelFlags level, const GLogField *fields, gsize n_fields,
                                  gpointer data)
{
    const GLogField *message = NULL;
    const char *domain = NULL;

    if (!log_state.verbose && (level & (G_LOG_LEVEL_INFO | G_LOG_LEVEL_DEBUG)))
        return G_LOG_WRITER_HANDLED;
    for (gsize i = 0; i < n_fields; i++) {
        if (strcmp(fields[i].key, "MESSAGE") == 0)
            message = &fields[i];
        else if (strcmp(fields[i].key, "GLIB_DOMAIN") == 0)
            domain = fields[i].value;
    }
    if (message == NULL || !may_pass(domain))
        return G_LOG_WRITER_HANDLED;
    write_text(log_state.to_journal
                   ? format_entry(fields, n_fields)
                   : format_line(level_mark(level), message->value, field_size(message)));
    return G_LOG_WRITER_HANDLED;
}

/* ---- Interface ---- */

static void open_journal(void)
{
    const struct timeval wait = {.tv_sec = 1};

    if (!g_log_writer_is_journald(STDERR_FILENO))
        return;
    log_state.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    log_state.to_journal =
        log_state.fd >= 0 &&
        setsockopt(log_state.fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) == 0 &&
        connect_journal();
    if (log_state.to_journal)
        return;
    cvd_close_fd(&log_state.fd);
    log_state.fd = STDERR_FILENO;
}

void cvd_log_init(const char *program, gboolean verbose)
{
    if (program != NULL) {
        g_free(log_state.program);
        log_state.program = g_strdup(program);
    }
    log_state.verbose = verbose;
    if (log_state.is_installed)
        return;
    log_state.is_installed = TRUE;
    open_journal();
    atexit(flush_at_exit);
    g_log_set_writer_func(write_log, NULL, NULL);
}

void cvd_log_set_instance(const char *name)
{
    g_free(log_state.instance);
    log_state.instance = g_strdup(name);
}

void cvd_log_client(GLogLevelFlags level, pid_t pid, const char *region, const char *format, ...)
{
    g_autofree char *pid_text = g_strdup_printf("%d", pid);
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    if (region != NULL)
        cvd_log_fields(level, "CVD_CLIENT_PID", pid_text, "CVD_REGION", region, "MESSAGE", "%s",
                       text);
    else
        cvd_log_fields(level, "CVD_CLIENT_PID", pid_text, "MESSAGE", "%s", text);
}

gboolean cvd_log_is_verbose(void)
{
    return log_state.is_installed
               ? log_state.verbose
               : !g_log_writer_default_would_drop(G_LOG_LEVEL_DEBUG, G_LOG_DOMAIN);
}

void cvd_log_never_block(void)
{
    if (log_state.context != NULL)
        return;
    if (!log_state.to_journal && !log_state.is_file) {
        int fd = cvd_fd_reopen_nonblocking(STDERR_FILENO, O_WRONLY | O_APPEND);
        if (fd < 0)
            return;
        log_state.fd = fd;
    }
    G_LOCK(log_state);
    log_state.context = g_main_context_ref_thread_default();
    if (flush())
        watch_for_room();
    G_UNLOCK(log_state);
}

void cvd_log_to_file(CvdLogNewFile new_file, gpointer user_data)
{
    if (log_state.to_journal)
        return;
    G_LOCK(log_state);
    log_state.new_file = new_file;
    log_state.new_file_data = user_data;
    int fd = make_file();
    log_state.is_file = fd >= 0;
    if (fd < 0)
        fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (fd >= 0)
        replace_file(fd);
    cvd_source_clear(&log_state.room);
    if (log_state.fd != STDERR_FILENO)
        close(log_state.fd);
    log_state.fd = STDERR_FILENO;
    flush();
    G_UNLOCK(log_state);
}

void cvd_log_keep_file(void)
{
    G_LOCK(log_state);
    log_state.new_file = NULL;
    G_UNLOCK(log_state);
}

int cvd_log_get_fd(void)
{
    return log_state.fd;
}

gboolean cvd_log_limit_pass(CvdLogLimit *limit, gint64 now_us)
{
    gint64 second = now_us / G_USEC_PER_SEC;

    if (second != limit->second) {
        if (limit->n_suppressed > 0)
            g_message("%u more lines like these were left out", limit->n_suppressed);
        *limit = (CvdLogLimit){.second = second};
    }
    if (limit->n_lines >= CVD_LOG_LINES_PER_SECOND) {
        limit->n_suppressed++;
        return FALSE;
    }
    limit->n_lines++;
    return TRUE;
}

char *cvd_escape_bytes(const void *bytes, gsize size)
{
    const guchar *p = bytes;
    GString *text = g_string_new(NULL);

    for (gsize i = 0; i < MIN(size, MAX_QUOTED_BYTES); i++) {
        if (p[i] >= 0x20 && p[i] < 0x7f && p[i] != '\\')
            g_string_append_c(text, (char)p[i]);
        else
            g_string_append_printf(text, "\\x%02x", p[i]);
    }
    if (size > MAX_QUOTED_BYTES)
        g_string_append(text, "…");
    return g_string_free(text, FALSE);
}
