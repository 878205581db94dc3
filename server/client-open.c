/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that the server makes itself, for programs: docs/protocol.md, Inherited regions. */
#include "server/client-port-private.h"
#include "server/passed.h"

#include "base/error.h"
#include "base/fd.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static gboolean is_claimed(const CvdClientPort *port, guint region, CvdAccess access)
{
    return access == CVD_ACCESS_READ_WRITE &&
           port->service.served.layout->regions[region].is_exclusive;
}

/* Returns: whether it is watched; else it was closed */
static gboolean add_attached(CvdClientPort *port, int take_fd, guint region, CvdAccess access,
                             uid_t uid)
{
    CvdConnection *connection = cvd_connection_new();

    cvd_client_session_init_attached(&connection->session, &port->service, take_fd, region, access,
                                     uid);
    connection->number = port->last_number;
    connection->is_holder =
        is_claimed(port, region, access) && cvd_holders_claim(port->holders, region, connection, 0);
    cvd_connection_take_doorbells(port, connection);
    cvd_connection_keep(port, connection);
    return connection->session.fd >= 0;
}

static guint get_next_number(CvdClientPort *port)
{
    if (++port->last_number == 0)
        ++port->last_number;
    return port->last_number;
}

/* Returns: whether there is a place for it; sets its number and its connection */
static gboolean connect_passed(CvdClientPort *port, guint region, CvdAccess access, uid_t uid,
                               CvdPassedRegion *passed, GError **error)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
        return cvd_set_error_errno(error, CVD_ERROR_RESOURCES, errno, "socketpair");
    passed->fds[CVD_PASSED_CONNECTION] = fds[0];
    cvd_autofd own = fds[1];
    if (!cvd_quota_take(port->quota, geteuid()))
        return cvd_fail(error, CVD_ERROR_RESOURCES,
                        "there are %u client connections, as many as are allowed (limits.clients)",
                        port->connections.length);
    passed->client = get_next_number(port);
    return add_attached(port, g_steal_fd(&own), region, access, uid) ||
           cvd_fail(error, CVD_ERROR_RESOURCES, "epoll_ctl refuses the connection");
}

static gboolean check_free(CvdClientPort *port, guint region, CvdAccess access, GError **error)
{
    const char *name = port->service.served.layout->regions[region].name;

    if (is_claimed(port, region, access))
        cvd_client_port_close_ended(port, region);
    if (port->source == NULL)
        return cvd_fail(error, CVD_ERROR_FAILED, "the server was stopped");
    if (port->is_held)
        return cvd_fail(error, CVD_ERROR_BUSY,
                        "region \"%s\" cannot be opened while the guest is reset", name);
    if (!is_claimed(port, region, access) ||
        cvd_holders_get_connections(port->holders, region)->len == 0)
        return TRUE;
    g_autofree char *holder = cvd_holders_describe(port->holders, region);
    return cvd_fail(error, CVD_ERROR_BUSY, "region \"%s\" is exclusive, and %s has it", name,
                    holder);
}

static gboolean open_region(CvdClientPort *port, guint region, const CvdServerUser *user,
                            CvdPassedRegion *passed, GError **error)
{
    const CvdServed *served = &port->service.served;
    const char *name = served->layout->regions[region].name;
    CvdAccess access = cvd_passed_region_get_access(served->access, user, name);
    uid_t uid = user != NULL ? user->uid : geteuid();

    if (!check_free(port, region, access, error))
        return FALSE;
    if (cvd_passed_region_fill(passed, served, region, access, error) &&
        connect_passed(port, region, access, uid, passed, error))
        return TRUE;
    g_prefix_error(error, "opening region \"%s\" for a program: ", name);
    return FALSE;
}

gboolean cvd_client_port_open(CvdClientPort *port, guint region, const CvdServerUser *user,
                              CvdPassedRegion *passed, GError **error)
{
    *passed = (CvdPassedRegion)CVD_PASSED_REGION_INIT;
    cvd_client_port_enter(port);
    gboolean is_open = open_region(port, region, user, passed, error);
    cvd_client_port_leave(port);
    if (!is_open)
        cvd_passed_region_clear(passed);
    return is_open;
}

static CvdConnection *find_number(const CvdClientPort *port, guint number)
{
    for (const GList *link = port->connections.head; link != NULL; link = link->next)
        if (((const CvdConnection *)link->data)->number == number)
            return link->data;
    return NULL;
}

void cvd_client_port_set_pid(CvdClientPort *port, guint number, int pid)
{
    CvdConnection *connection = find_number(port, number);

    if (connection == NULL)
        return;
    connection->session.pid = pid;
    if (connection->is_holder)
        cvd_holders_set_pid(port->holders, connection, pid);
    cvd_client_port_enter(port);
    cvd_connection_announce(port, connection,
                            port->service.served.layout->regions[connection->session.given].name);
    cvd_client_port_leave(port);
}
