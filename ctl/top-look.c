/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each look connects anew: instances come and go, and one that is only looked at once a second
 * should not keep one of the launcher's places for those who follow it.
 */
#include "ctl/top-look.h"

#include "base/instance.h"

#include <string.h>

#define PROGRAMS_TYPE "(a(sssuutas))"
#define REGIONS_TYPE  "(ba(sutt))"

/* One call of one instance. */
typedef struct {
    CvdTopInstance *top;
    void (*read)(CvdTopInstance *top, GVariant *reply);
    const char *type;
    guint *n_pending;
} Call;

static void read_regions(CvdTopInstance *top, GVariant *reply)
{
    g_autoptr(GVariantIter) iter = NULL;
    const char *name;
    guint n_clients;
    guint64 n_to_guest, n_to_host;

    g_variant_get(reply, "(ba(sutt))", &top->is_traced, &iter);
    top->taken_us = g_get_monotonic_time();
    while (g_variant_iter_next(iter, "(&sutt)", &name, &n_clients, &n_to_guest, &n_to_host)) {
        CvdTopRegion *region = cvd_top_instance_add_region(top, name);
        region->n_clients = n_clients;
        region->n_to_guest = n_to_guest;
        region->n_to_host = n_to_host;
    }
}

static void read_programs(CvdTopInstance *top, GVariant *reply)
{
    g_autoptr(GVariantIter) iter = NULL;
    CvdTopProgram values;

    g_variant_get(reply, PROGRAMS_TYPE, &iter);
    while (g_variant_iter_next(iter, "(sssuut^as)", &values.name, &values.state, &values.reason,
                               &values.pid, &values.n_restarts, &values.age_us, &values.regions))
        *cvd_top_instance_add_program(top) = values;
}

/* What a launcher of another version does not know is not shown. */
static void on_reply(GObject *object, GAsyncResult *result, gpointer data)
{
    g_autofree Call *call = data;
    g_autoptr(GVariant) reply = g_dbus_proxy_call_finish(G_DBUS_PROXY(object), result, NULL);

    if (reply != NULL && g_variant_is_of_type(reply, G_VARIANT_TYPE(call->type)))
        call->read(call->top, reply);
    --*call->n_pending;
}

static void begin_call(CvdTool *tool, CvdDBusInstance1 *instance, const char *method, Call values)
{
    Call *call = g_memdup2(&values, sizeof values);

    ++*call->n_pending;
    g_dbus_proxy_call(G_DBUS_PROXY(instance), method, NULL, G_DBUS_CALL_FLAGS_NONE, CVD_CTL_LIST_MS,
                      tool->cancellable, on_reply, call);
}

static CvdTopInstance *describe(const char *dir, CvdDBusInstance1 *instance)
{
    const char *name = strrchr(dir, '/') + 1;

    if (instance == NULL)
        return cvd_top_instance_new(name, "no answer");
    CvdTopInstance *top = cvd_top_instance_new(name, cvd_dbus_instance1_get_state(instance));
    top->launcher_pid = cvd_dbus_instance1_get_launcher_pid(instance);
    top->vm_pid = cvd_dbus_instance1_get_vm_pid(instance);
    top->uptime_us = cvd_dbus_instance1_get_uptime_us(instance);
    top->n_restarts = cvd_dbus_instance1_get_restarts(instance);
    top->n_clients = cvd_dbus_instance1_get_clients(instance);
    return top;
}

/* Those of regions and programs, of all instances at once. */
static void ask_details(CvdTool *tool, const CvdCtlAnswer *answers, GPtrArray *look)
{
    guint n_pending = 0;

    for (guint i = 0; i < look->len; i++) {
        CvdTopInstance *top = g_ptr_array_index(look, i);
        if (answers[i].instance == NULL)
            continue;
        begin_call(tool, answers[i].instance, "ListRegions",
                   (Call){top, read_regions, REGIONS_TYPE, &n_pending});
        begin_call(tool, answers[i].instance, "ListPrograms",
                   (Call){top, read_programs, PROGRAMS_TYPE, &n_pending});
    }
    while (n_pending > 0)
        g_main_context_iteration(NULL, TRUE);
}

static void look_at_running(CvdTool *tool, GPtrArray *dirs, GPtrArray *look)
{
    g_autofree CvdCtlAnswer *answers = g_new0(CvdCtlAnswer, dirs->len + 1);
    g_autoptr(GPtrArray) sockets = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < dirs->len; i++) {
        answers[i].socket = g_build_filename(g_ptr_array_index(dirs, i), "control.sock", NULL);
        g_ptr_array_add(sockets, (gpointer)answers[i].socket);
    }
    cvd_ctl_ask(answers, dirs->len, CVD_CTL_LIST_MS, tool->cancellable);
    for (guint i = 0; i < dirs->len; i++)
        g_ptr_array_add(look, describe(g_ptr_array_index(dirs, i), answers[i].instance));
    ask_details(tool, answers, look);
    for (guint i = 0; i < dirs->len; i++) {
        g_clear_object(&answers[i].instance);
        g_clear_error(&answers[i].error);
    }
}

static void look_at_failed(GPtrArray *dirs, GPtrArray *look)
{
    for (guint i = 0; i < dirs->len; i++)
        g_ptr_array_add(
            look, cvd_top_instance_new(strrchr(g_ptr_array_index(dirs, i), '/') + 1, "failed"));
}

GPtrArray *cvd_top_look(CvdTool *tool, GError **error)
{
    g_autoptr(GPtrArray) running = cvd_ctl_list_instances(tool, CVD_INSTANCES_RUNNING, error);
    g_autoptr(GPtrArray) failed =
        running != NULL ? cvd_ctl_list_instances(tool, CVD_INSTANCES_FAILED, error) : NULL;
    g_autoptr(GPtrArray) look =
        g_ptr_array_new_with_free_func((GDestroyNotify)cvd_top_instance_free);

    if (failed == NULL)
        return NULL;
    look_at_running(tool, running, look);
    look_at_failed(failed, look);
    if (g_cancellable_set_error_if_cancelled(tool->cancellable, error))
        return NULL;
    return g_steal_pointer(&look);
}
