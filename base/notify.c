/* SPDX-License-Identifier: Apache-2.0 */
#include "base/notify.h"

#include "base/fd.h"
#include "base/log.h"
#include "base/source.h"
#include "base/terminal-text.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* In bytes, each of which may be sent as four. */
#define MAX_VALUE 512
/* A manager that wants to hear more often is not worth a processor. */
#define MIN_WATCHDOG_US G_TIME_SPAN_MILLISECOND

/* Of the process, as the variables are: there is one manager. */
static struct {
    char *path; /* NULL = there is none */
    int fd;
    GPtrArray *unsent; /* assignments, one a key; NULL = nothing waits */
    GSource *source;
    gint64 watchdog_us; /* 0 = no sign of life is wanted */
    GSource *watchdog;
    CvdLogLimit log_limit;
    void (*ready)(void);
} manager = {.fd = -1};

static guint64 take_number(const char *variable)
{
    guint64 number = 0;
    const char *text = g_getenv(variable);

    if (text != NULL)
        g_ascii_string_to_unsigned(text, 10, 0, G_MAXINT64, &number, NULL);
    g_unsetenv(variable);
    return number;
}

void cvd_notify_init(void)
{
    g_free(manager.path);
    manager.path = g_strdup(g_getenv("NOTIFY_SOCKET"));
    g_unsetenv("NOTIFY_SOCKET");
    guint64 watchdog_us = take_number("WATCHDOG_USEC");
    guint64 watchdog_pid = take_number("WATCHDOG_PID");
    gboolean is_meant = watchdog_pid == 0 || watchdog_pid == (guint64)getpid();
    manager.watchdog_us = is_meant ? (gint64)watchdog_us : 0;
}

/* Connected, since only then poll(2) reports when there is room in the other's queue. */
static int connect_manager(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    gsize length = strlen(manager.path);

    if ((manager.path[0] != '/' && manager.path[0] != '@') || length >= sizeof address.sun_path) {
        errno = EINVAL;
        return -1;
    }
    memcpy(address.sun_path, manager.path, length);
    if (manager.path[0] == '@') /* the abstract namespace */
        address.sun_path[0] = '\0';

    cvd_autofd fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) < 0)
        return -1;
    return g_steal_fd(&fd);
}

static void report_failure(const char *assignments)
{
    int saved_errno = errno;

    if (cvd_log_limit_pass(&manager.log_limit, g_get_monotonic_time()))
        g_warning("cannot send %s to the service manager at %s: %s", assignments, manager.path,
                  g_strerror(saved_errno));
}

static char *join_unsent(void)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < manager.unsent->len; i++)
        g_string_append_printf(text, "%s%s", i > 0 ? "\n" : "",
                               (const char *)g_ptr_array_index(manager.unsent, i));
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static gboolean send_unsent(int fd, GIOCondition condition, gpointer data)
{
    g_autofree char *text = join_unsent();

    if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0) {
        if (errno == EAGAIN)
            return G_SOURCE_CONTINUE;
        report_failure(text);
    }
    g_clear_pointer(&manager.unsent, g_ptr_array_unref);
    cvd_source_clear(&manager.source);
    cvd_close_fd(&manager.fd);
    return G_SOURCE_REMOVE;
}

/* The manager takes a datagram of 4 KiB at most, and another line for another assignment. */
static char *make_assignment(const char *key, const char *value)
{
    g_autoptr(GString) assignment = g_string_new(key);

    g_string_append_c(assignment, '=');
    cvd_terminal_text_append(assignment, value, MIN(strlen(value), MAX_VALUE), FALSE);
    return g_strdelimit(g_string_free(g_steal_pointer(&assignment), FALSE), "\n", ' ');
}

static void add_unsent(const char *key, char *take_assignment)
{
    gsize size = strlen(key) + 1; /* with the equals sign */

    for (guint i = 0; i < manager.unsent->len; i++)
        if (strncmp(g_ptr_array_index(manager.unsent, i), take_assignment, size) == 0) {
            g_ptr_array_remove_index(manager.unsent, i);
            break;
        }
    g_ptr_array_add(manager.unsent, take_assignment);
}

void cvd_notify(const char *key, const char *value)
{
    g_autofree char *assignment = make_assignment(key, value);

    if (manager.path == NULL)
        return;
    if (manager.unsent != NULL) {
        add_unsent(key, g_steal_pointer(&assignment));
        return;
    }
    manager.fd = connect_manager();
    if (manager.fd < 0) {
        report_failure(assignment);
        return;
    }
    manager.unsent = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(manager.unsent, g_steal_pointer(&assignment));
    if (send_unsent(manager.fd, G_IO_OUT, NULL) == G_SOURCE_CONTINUE)
        manager.source = cvd_source_watch_fd(manager.fd, G_IO_OUT, send_unsent, NULL);
}

void cvd_notify_need_time(gint64 duration_us)
{
    g_autofree char *text = g_strdup_printf("%" G_GINT64_FORMAT, duration_us);

    cvd_notify("EXTEND_TIMEOUT_USEC", text);
}

static gboolean on_watchdog(gpointer data);

static void arm_watchdog(void)
{
    gint64 interval_us = MAX(manager.watchdog_us / 2, MIN_WATCHDOG_US);

    cvd_source_set_timer(&manager.watchdog, g_get_monotonic_time() + interval_us, on_watchdog,
                         NULL);
}

static gboolean on_watchdog(gpointer data)
{
    cvd_notify("WATCHDOG", "1");
    arm_watchdog();
    return G_SOURCE_REMOVE;
}

void cvd_notify_when_ready(void (*ready)(void))
{
    manager.ready = ready;
}

void cvd_notify_ready(void)
{
    if (manager.ready != NULL)
        manager.ready();
    cvd_notify("READY", "1");
    if (manager.watchdog_us > 0)
        arm_watchdog();
}
