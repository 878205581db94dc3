/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who has which region. The doorbells of a region may have several owners, of whom one takes what
 * is meant for another: that is said. An exclusive region has one.
 */
#include "server/client-port-private.h"

#include <poll.h>

/* ---- Shared doorbells ---- */

void cvd_connection_release_doorbells(CvdConnection *connection)
{
    if (connection->doorbells != NULL)
        connection->doorbells->n_clients--;
    connection->doorbells = NULL;
}

static gboolean is_reported(const CvdDoorbellOwners *doorbells, int pid)
{
    for (guint i = 0; i < CVD_N_REPORTED; i++)
        if (doorbells->reported[i] == pid)
            return TRUE;
    return FALSE;
}

static gboolean is_shared(const CvdClientPort *port, const CvdConnection *connection)
{
    for (const GList *link = port->connections.head; link != NULL; link = link->next) {
        const CvdConnection *other = link->data;
        if (other->doorbells == connection->doorbells &&
            other->session.pid != connection->session.pid)
            return TRUE;
    }
    return FALSE;
}

/* Once for each process, as one may come thousands of times. */
static void report_sharing(CvdClientPort *port, const CvdConnection *connection, const char *region)
{
    CvdDoorbellOwners *doorbells = connection->doorbells;
    int pid = connection->session.pid;

    if (doorbells->last_pid == pid || is_reported(doorbells, pid) || !is_shared(port, connection) ||
        !cvd_log_limit_pass(&port->service.log_limit, connection->attached_us))
        return;
    doorbells->reported[doorbells->n_reported++ % CVD_N_REPORTED] = pid;
    cvd_log_client(G_LOG_LEVEL_MESSAGE, pid, region,
                   "client of pid %d: another one has region \"%s\" too; of two that wait for "
                   "signals there, one may take what is meant for the other",
                   pid, region);
}

void cvd_connection_take_doorbells(CvdClientPort *port, CvdConnection *connection)
{
    const CvdClientSession *session = &connection->session;

    connection->attached_us = g_get_monotonic_time();
    cvd_connection_release_doorbells(connection);
    if (session->access == CVD_ACCESS_READ_ONLY)
        return;
    connection->doorbells = &port->doorbells[session->given];
    connection->doorbells->n_clients++;
}

/* Each signal is taken from the signal table by one of those who share a region, whomever it is
 * meant for. */
void cvd_connection_announce(CvdClientPort *port, CvdConnection *connection, const char *region)
{
    int pid = connection->session.pid;

    if (connection->doorbells != NULL) {
        if (connection->doorbells->n_clients > 1)
            report_sharing(port, connection, region);
        connection->doorbells->last_pid = pid;
    }
    connection->is_announced = TRUE;
    port->options.attached(port->options.owner, pid, region);
}

/* ---- Exclusive regions ---- */

/* What has ended may not have been reported yet, or only after what comes now. */
static gboolean has_ended(const CvdConnection *connection)
{
    struct pollfd end = {.fd = connection->session.fd, .events = POLLRDHUP};

    return poll(&end, 1, 0) == 1;
}

void cvd_client_port_close_ended(CvdClientPort *port, guint region)
{
    gboolean is_gone = cvd_holders_has_ended(port->holders, region);
    const GPtrArray *holding = cvd_holders_get_connections(port->holders, region);
    g_autoptr(GPtrArray) connections = g_ptr_array_copy((GPtrArray *)holding, NULL, NULL);

    for (guint i = 0; i < connections->len; i++) {
        CvdConnection *connection = connections->pdata[i];
        if (is_gone || has_ended(connection))
            cvd_client_session_close(&connection->session);
    }
}

/* The owner may have done anything when those that had ended were closed. */
static gboolean take_exclusive(CvdClientPort *port, guint region, CvdConnection *connection)
{
    int pid = connection->session.pid;

    if (!cvd_holders_claim(port->holders, region, connection, pid)) {
        cvd_client_port_close_ended(port, region);
        if (connection->session.fd < 0 ||
            !cvd_holders_claim(port->holders, region, connection, pid))
            return FALSE;
    }
    connection->is_holder = TRUE;
    return TRUE;
}

/* One line for each process that was refused, as one may try thousands of times. */
gboolean cvd_connection_claim(gpointer owner, CvdClientSession *session, guint region)
{
    CvdClientPort *port = owner;
    const char *name = port->service.served.layout->regions[region].name;

    if (take_exclusive(port, region, (CvdConnection *)session))
        return TRUE;
    if (!cvd_holders_note_refusal(port->holders, region, session->pid) ||
        !cvd_log_limit_pass(&port->service.log_limit, g_get_monotonic_time()))
        return FALSE;
    g_autofree char *holder = cvd_holders_describe(port->holders, region);
    cvd_log_client(G_LOG_LEVEL_MESSAGE, session->pid, name,
                   "client of pid %d, uid %u refused: region \"%s\" is exclusive, and %s has it",
                   session->pid, session->uid, name, holder);
    return FALSE;
}

char *cvd_connection_describe_holder(gpointer owner, guint region)
{
    return cvd_holders_describe(((CvdClientPort *)owner)->holders, region);
}

gboolean cvd_connection_is_held(gpointer owner, guint region, int *pid)
{
    const CvdHolders *holders = ((CvdClientPort *)owner)->holders;

    *pid = cvd_holders_get_pid(holders, region);
    return cvd_holders_get_connections(holders, region)->len > 0;
}
