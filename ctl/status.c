/* SPDX-License-Identifier: Apache-2.0 */
/* list and status. */
#include "ctl/ctl.h"

#include "base/error.h"
#include "base/group-name.h"
#include "base/instance.h"

#include <stdlib.h>
#include <string.h>

/* Before it could be asked for, a machine that had started was ready. */
gboolean cvd_ctl_is_ready(CvdDBusInstance1 *instance)
{
    static const char *const ready[] = {"running", "paused", "suspended", "faulted", NULL};
    g_autoptr(GVariant) property =
        g_dbus_proxy_get_cached_property(G_DBUS_PROXY(instance), "Ready");

    return property != NULL ? cvd_dbus_instance1_get_ready(instance)
                            : g_strv_contains(ready, cvd_dbus_instance1_get_state(instance));
}

/* Of a launcher that boots its VMs, or that knows no snapshots yet. */
static const char *get_from(CvdDBusInstance1 *instance)
{
    const char *from = cvd_dbus_instance1_get_from(instance);

    return from != NULL ? from : "";
}

static void add_status(GVariantBuilder *builder, CvdDBusInstance1 *i)
{
    cvd_tool_add_json(
        builder,
        "{'state': <%s>, 'reason': <%s>, 'ready': <%b>, 'launcher_pid': <%u>,"
        " 'vm_pid': <%u>, 'uptime_s': <%d>, 'restarts': <%u>, 'clients': <%u>, 'version': <%s>,"
        " 'from': <%s>}",
        cvd_dbus_instance1_get_state(i), cvd_dbus_instance1_get_reason(i), cvd_ctl_is_ready(i),
        cvd_dbus_instance1_get_launcher_pid(i), cvd_dbus_instance1_get_vm_pid(i),
        (double)cvd_dbus_instance1_get_uptime_us(i) / G_USEC_PER_SEC,
        cvd_dbus_instance1_get_restarts(i), cvd_dbus_instance1_get_clients(i),
        cvd_dbus_instance1_get_version(i), get_from(i));
}

static void add_user(GVariantBuilder *builder, uid_t uid)
{
    g_autofree char *user = cvd_ctl_get_user(uid);

    cvd_tool_add_json(builder, "{'user': <%s>, 'uid': <%u>}", user, uid);
}

static gboolean print_json_line(const char *dir, CvdDBusInstance1 *instance,
                                const CvdCtlFailure *failure, GError **error)
{
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE_VARDICT);
    g_autofree char *path = g_filename_display_name(dir);

    cvd_tool_add_json(&builder, "{'name': <%s>, 'directory': <%s>}", strrchr(path, '/') + 1, path);
    if (cvd_ctl_options.all_users)
        add_user(&builder, cvd_ctl_get_owner(dir));
    if (instance != NULL)
        add_status(&builder, instance);
    else if (failure != NULL)
        cvd_tool_add_json(&builder, "{'state': <'failed'>, 'reason': <%s>, 'time': <%s>}",
                          failure->reason, failure->time);
    else
        cvd_tool_add_json(&builder, "{'state': <'no answer'>}");
    return cvd_tool_print_json(error, "%@a{sv}", g_variant_builder_end(&builder));
}

#define USER        "%-10s "
#define ROW         "%-20s %-11s %8s %8s %9s %8s %7s\n"
#define RUNNING_ROW "%-20s %-11s %8u %8u %9s %8u %7u\n"

/* The column before the others, if it is wanted. */
static gboolean print_user(uid_t uid, GError **error)
{
    g_autofree char *user = cvd_ctl_options.all_users ? cvd_ctl_get_user(uid) : NULL;

    return user == NULL || cvd_ctl_print(error, USER, user);
}

static gboolean print_row(const char *dir, CvdDBusInstance1 *instance, const CvdCtlFailure *failure,
                          GError **error)
{
    const char *name = strrchr(dir, '/') + 1;

    if (!print_user(cvd_ctl_get_owner(dir), error))
        return FALSE;
    if (instance == NULL)
        return cvd_ctl_print(error, ROW, name, failure != NULL ? "failed" : "no answer", "-", "-",
                             "-", "-", "-");
    g_autofree char *uptime = cvd_ctl_format_uptime(cvd_dbus_instance1_get_uptime_us(instance));
    return cvd_ctl_print(error, RUNNING_ROW, name, cvd_dbus_instance1_get_state(instance),
                         cvd_dbus_instance1_get_launcher_pid(instance),
                         cvd_dbus_instance1_get_vm_pid(instance), uptime,
                         cvd_dbus_instance1_get_restarts(instance),
                         cvd_dbus_instance1_get_clients(instance));
}

static gboolean print_running(CvdTool *tool, const char *dir, const CvdCtlAnswer *answer,
                              GError **error)
{
    const char *name = strrchr(dir, '/') + 1;

    if (answer->instance == NULL && tool->verb->run == cvd_ctl_status) {
        cvd_ctl_clarify(answer->error);
        g_printerr("cvd-ctl: %s: %s\n", name, answer->error->message);
        tool->status = EXIT_FAILURE;
    }
    return (tool->json ? print_json_line : print_row)(dir, answer->instance, NULL, error);
}

static gboolean print_failed(CvdTool *tool, const char *dir, GError **error)
{
    g_autoptr(CvdCtlFailure) failure = cvd_ctl_failure_load(dir);

    return failure == NULL || (tool->json ? print_json_line : print_row)(dir, NULL, failure, error);
}

/* Those that run come first, but the machines of a group in their order. */
static gboolean print_instances(CvdTool *tool, GPtrArray *running, const CvdCtlAnswer *answers,
                                GPtrArray *failed, GError **error)
{
    guint i = 0, k = 0;

    while (i < running->len || k < failed->len) {
        gboolean is_next =
            i < running->len && (k == failed->len || tool->group == NULL ||
                                 cvd_group_name_compare(strrchr(running->pdata[i], '/') + 1,
                                                        strrchr(failed->pdata[k], '/') + 1) <= 0);
        if (is_next ? !print_running(tool, running->pdata[i], &answers[i], error)
                    : !print_failed(tool, failed->pdata[k], error))
            return FALSE;
        i += is_next ? 1 : 0;
        k += is_next ? 0 : 1;
    }
    return TRUE;
}

static gboolean ask_and_print(CvdTool *tool, GPtrArray *running, GPtrArray *failed, GError **error)
{
    g_autofree CvdCtlAnswer *answers = g_new0(CvdCtlAnswer, running->len + 1);
    g_autoptr(GPtrArray) sockets = g_ptr_array_new_with_free_func(g_free);
    gboolean is_status = tool->verb->run == cvd_ctl_status;

    for (guint i = 0; i < running->len; i++) {
        answers[i].socket = g_build_filename(running->pdata[i], "control.sock", NULL);
        g_ptr_array_add(sockets, (gpointer)answers[i].socket);
    }
    cvd_ctl_ask(answers, running->len, is_status ? CVD_CTL_ANSWER_MS : CVD_CTL_LIST_MS,
                tool->cancellable);
    gboolean is_printed = print_instances(tool, running, answers, failed, error);
    for (guint i = 0; i < running->len; i++) {
        g_clear_object(&answers[i].instance);
        g_clear_error(&answers[i].error);
    }
    return is_printed;
}

/* ---- Those that this user cannot ask ---- */

/* @pids: of the launchers that have @dirs, as cvd_instance_get_pid() has them */
static gboolean is_among(const CvdCtlProcess *process, GPtrArray *dirs, const pid_t *pids)
{
    for (guint i = 0; i < dirs->len; i++) {
        const char *dir = g_ptr_array_index(dirs, i);
        if (pids[i] == process->pid || (pids[i] < 0 && process->uid == cvd_ctl_get_owner(dir) &&
                                        g_strcmp0(process->name, strrchr(dir, '/') + 1) == 0))
            return TRUE;
    }
    return FALSE;
}

/* Returns: (transfer full): none, unless they are wanted */
static GPtrArray *list_others(const CvdTool *tool, GPtrArray *running)
{
    GPtrArray *processes =
        cvd_ctl_options.all_users ? cvd_ctl_list_processes("/proc") : g_ptr_array_new();
    g_autofree pid_t *pids = g_new0(pid_t, running->len + 1);

    for (guint i = 0; i < running->len && processes->len > 0; i++)
        pids[i] = cvd_instance_get_pid(g_ptr_array_index(running, i));
    for (guint i = processes->len; i-- > 0;) {
        const CvdCtlProcess *process = processes->pdata[i];
        if (is_among(process, running, pids) ||
            !cvd_ctl_is_meant(tool, process->name != NULL ? process->name : ""))
            g_ptr_array_remove_index(processes, i);
    }
    return processes;
}

static gboolean print_other(CvdTool *tool, const CvdCtlProcess *process, GError **error)
{
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE_VARDICT);
    gboolean is_closed = geteuid() != 0 && geteuid() != process->uid;
    const char *state = is_closed ? "no access" : "elsewhere";

    if (!tool->json) {
        g_autofree char *pid = g_strdup_printf("%d", process->pid);
        return print_user(process->uid, error) &&
               cvd_ctl_print(error, ROW, process->name != NULL ? process->name : "?", state, pid,
                             "-", "-", "-", "-");
    }
    if (process->name != NULL)
        cvd_tool_add_json(&builder, "{'name': <%s>}", process->name);
    add_user(&builder, process->uid);
    cvd_tool_add_json(&builder, "{'state': <%s>, 'launcher_pid': <%u>}", state,
                      (guint)process->pid);
    return cvd_tool_print_json(error, "%@a{sv}", g_variant_builder_end(&builder));
}

static gboolean print_others(CvdTool *tool, GPtrArray *processes, GError **error)
{
    for (guint i = 0; i < processes->len; i++)
        if (!print_other(tool, g_ptr_array_index(processes, i), error))
            return FALSE;
    return TRUE;
}

static gboolean print_title(GError **error)
{
    return (!cvd_ctl_options.all_users || cvd_ctl_print(error, USER, "USER")) &&
           cvd_tool_print(error, ROW, "NAME", "STATE", "PID", "VM", "UPTIME", "RESTARTS",
                          "CLIENTS");
}

gboolean cvd_ctl_list(CvdTool *tool, char **arguments, GError **error)
{
    g_autoptr(GPtrArray) running = cvd_ctl_list_instances(tool, CVD_INSTANCES_RUNNING, error);
    g_autoptr(GPtrArray) failed =
        running != NULL ? cvd_ctl_list_instances(tool, CVD_INSTANCES_FAILED, error) : NULL;
    if (failed == NULL)
        return FALSE;

    g_autoptr(GPtrArray) others = list_others(tool, running);
    if (running->len + failed->len + others->len > 0)
        return (tool->json || print_title(error)) && ask_and_print(tool, running, failed, error) &&
               print_others(tool, others, error);
    if (tool->group != NULL)
        return cvd_ctl_fail_no_group(tool, error);
    if (tool->name != NULL) {
        g_autofree char *socket = cvd_instance_find_socket(tool->name, "control.sock", error);
        return socket != NULL;
    }
    g_auto(GStrv) places = cvd_instance_get_places();
    g_autofree char *all = g_strjoinv(", ", places);
    if (!tool->json)
        g_printerr("no instance runs (looked in %s); start one with cvd-launch\n", all);
    return TRUE;
}

static gboolean print_regions(GVariant *regions, GError **error)
{
    GVariantIter iter;
    const char *name;
    guint begin, end;

    g_variant_iter_init(&iter, regions);
    while (g_variant_iter_next(&iter, "(&suu)", &name, &begin, &end)) {
        g_autofree char *range = g_strdup_printf("0x%08x-0x%08x", begin, end);
        if (!cvd_ctl_print(error, "%-14s %s\n", name, range))
            return FALSE;
    }
    return TRUE;
}

/* In the words of a layout file. */
static GVariant *describe_regions(GVariant *regions)
{
    GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE("aa{sv}"));
    GVariantIter iter;
    const char *name;
    guint begin, end;

    g_variant_iter_init(&iter, regions);
    while (g_variant_iter_next(&iter, "(&suu)", &name, &begin, &end))
        g_variant_builder_add_parsed(&builder,
                                     "{'device_name': <%s>, 'region_begin_offset': <%u>,"
                                     " 'region_end_offset': <%u>}",
                                     name, begin, end);
    return g_variant_builder_end(&builder);
}

static gboolean print_failure(CvdTool *tool, const CvdCtlFailure *failure, GError **error)
{
    if (tool->json)
        return print_json_line(failure->dir, NULL, failure, error);
    return cvd_ctl_print(error, "instance  %s\nstate     failed (%s)\nsince     %s\nleft in   %s\n",
                         failure->name, failure->reason, *failure->time ? failure->time : "unknown",
                         failure->dir);
}

gboolean cvd_ctl_status(CvdTool *tool, char **arguments, GError **error)
{
    g_autoptr(GError) local_error = NULL;
    if (tool->group != NULL)
        return cvd_ctl_list(tool, arguments, error);
    g_autoptr(CvdDBusInstance1) i = cvd_ctl_connect(tool, &local_error);
    if (i == NULL) {
        gboolean is_down = g_error_matches(local_error, CVD_ERROR, CVD_ERROR_CLOSED);
        g_autoptr(CvdCtlFailure) failure = is_down ? cvd_ctl_failure_find(tool->name) : NULL;
        if (failure != NULL)
            return print_failure(tool, failure, error);
        return cvd_pass_error(error, &local_error);
    }

    if (tool->json) {
        GVariantBuilder builder = G_VARIANT_BUILDER_INIT(G_VARIANT_TYPE_VARDICT);
        cvd_tool_add_json(&builder, "{'name': <%s>}", cvd_dbus_instance1_get_name(i));
        add_status(&builder, i);
        cvd_tool_add_json(&builder, "{'regions': <%@aa{sv}>}",
                          describe_regions(cvd_dbus_instance1_get_regions(i)));
        return cvd_tool_print_json(error, "%@a{sv}", g_variant_builder_end(&builder));
    }
    g_autofree char *uptime = cvd_ctl_format_uptime(cvd_dbus_instance1_get_uptime_us(i));
    const char *reason = cvd_dbus_instance1_get_reason(i);
    const char *from = get_from(i);
    return cvd_ctl_print(error,
                         "instance  %s\nstate     %s%s%s%s\nready     %s\n"
                         "launcher  pid %u, version %s\n"
                         "VM        pid %u, up %s, restarts %u\nclients   %u\n",
                         cvd_dbus_instance1_get_name(i), cvd_dbus_instance1_get_state(i),
                         *reason ? " (" : "", reason, *reason ? ")" : "",
                         cvd_ctl_is_ready(i) ? "yes" : "no", cvd_dbus_instance1_get_launcher_pid(i),
                         cvd_dbus_instance1_get_version(i), cvd_dbus_instance1_get_vm_pid(i),
                         uptime, cvd_dbus_instance1_get_restarts(i),
                         cvd_dbus_instance1_get_clients(i)) &&
           (*from == '\0' || cvd_ctl_print(error, "from      %s\n", from)) &&
           cvd_ctl_print(error, "regions\n") &&
           print_regions(cvd_dbus_instance1_get_regions(i), error);
}
