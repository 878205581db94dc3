/* SPDX-License-Identifier: Apache-2.0 */
#include "server/holders.h"

#include "base/fd.h"
#include "base/process.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>

#define N_REFUSED 8

typedef struct {
    int pid;                /* 0: not known */
    int pidfd;              /* −1: none */
    GPtrArray *connections; /* none: nobody has the region */
    int refused[N_REFUSED]; /* pids, the last that were refused */
    guint n_refused;
} Holder;

struct CvdHolders {
    int epoll_fd;
    guint n_regions;
    Holder holders[]; /* of each region */
};

CvdHolders *cvd_holders_new(guint n_regions, int epoll_fd)
{
    CvdHolders *holders = g_malloc0(sizeof *holders + n_regions * sizeof *holders->holders);

    holders->epoll_fd = epoll_fd;
    holders->n_regions = n_regions;
    for (guint i = 0; i < n_regions; i++) {
        holders->holders[i].pidfd = -1;
        holders->holders[i].connections = g_ptr_array_new();
    }
    return holders;
}

void cvd_holders_free(CvdHolders *holders)
{
    if (holders == NULL)
        return;
    for (guint i = 0; i < holders->n_regions; i++) {
        cvd_close_fd(&holders->holders[i].pidfd);
        g_ptr_array_unref(holders->holders[i].connections);
    }
    g_free(holders);
}

static void set_process(CvdHolders *holders, Holder *holder, int pid)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = holder};

    holder->pid = pid;
    cvd_close_fd(&holder->pidfd);
    if (pid == 0)
        return;
    holder->pidfd = pidfd_open(pid, 0);
    if (holder->pidfd >= 0 &&
        epoll_ctl(holders->epoll_fd, EPOLL_CTL_ADD, holder->pidfd, &event) < 0)
        cvd_close_fd(&holder->pidfd);
}

gboolean cvd_holders_claim(CvdHolders *holders, guint region, gpointer connection, int pid)
{
    Holder *holder = &holders->holders[region];

    if (g_ptr_array_find(holder->connections, connection, NULL))
        return TRUE;
    if (holder->connections->len > 0 && (pid == 0 || pid != holder->pid))
        return FALSE;
    if (holder->connections->len == 0)
        set_process(holders, holder, pid);
    g_ptr_array_add(holder->connections, connection);
    return TRUE;
}

void cvd_holders_set_pid(CvdHolders *holders, gpointer connection, int pid)
{
    for (guint i = 0; i < holders->n_regions; i++)
        if (g_ptr_array_find(holders->holders[i].connections, connection, NULL))
            set_process(holders, &holders->holders[i], pid);
}

void cvd_holders_release(CvdHolders *holders, gpointer connection)
{
    for (guint i = 0; i < holders->n_regions; i++) {
        Holder *holder = &holders->holders[i];
        if (!g_ptr_array_remove_fast(holder->connections, connection) ||
            holder->connections->len > 0)
            continue;
        set_process(holders, holder, 0);
        holder->n_refused = 0;
    }
}

int cvd_holders_get_pid(const CvdHolders *holders, guint region)
{
    return holders->holders[region].pid;
}

const GPtrArray *cvd_holders_get_connections(const CvdHolders *holders, guint region)
{
    return holders->holders[region].connections;
}

gboolean cvd_holders_has_ended(const CvdHolders *holders, guint region)
{
    struct pollfd process = {.fd = holders->holders[region].pidfd, .events = POLLIN};

    return poll(&process, 1, 0) == 1;
}

int cvd_holders_find(const CvdHolders *holders, gconstpointer pointer)
{
    const Holder *holder = pointer;

    if (holder < holders->holders || holder >= holders->holders + holders->n_regions)
        return -1;
    return (int)(holder - holders->holders);
}

char *cvd_holders_describe(const CvdHolders *holders, guint region)
{
    int pid = holders->holders[region].pid;
    g_autofree char *name = pid != 0 ? cvd_process_get_name(pid) : NULL;

    if (name != NULL)
        return g_strdup_printf("pid %d (%s)", pid, name);
    return pid != 0 ? g_strdup_printf("pid %d", pid) : g_strdup("another program");
}

gboolean cvd_holders_note_refusal(CvdHolders *holders, guint region, int pid)
{
    Holder *holder = &holders->holders[region];

    for (guint i = 0; i < MIN(holder->n_refused, N_REFUSED); i++)
        if (holder->refused[i] == pid)
            return FALSE;
    holder->refused[holder->n_refused++ % N_REFUSED] = pid;
    return TRUE;
}
