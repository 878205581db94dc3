/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host program: through every region it has the guest that comes with the project add one to a
 * number, again and again, each time when the last answer has come. When the VM ends or restarts it
 * waits for the next one and goes on.
 *
 *   cc host-program.c -o host-program $(pkg-config --cflags --libs cvd-client)
 *   ./host-program [SOCKET [COUNT]]
 *
 * Without SOCKET it finds the only instance of cvd-launch that runs. It ends when COUNT answers
 * have come through each region, or with ctrl-c.
 */
#include <cvd-client.h>

#include <glib-unix.h>
#include <stdlib.h>

static GMainLoop *loop;
static guint goal, n_busy;

typedef struct {
    CvdRegion *region;
    guint n_answers;      /* and the number on its way to the guest */
    gboolean is_answered; /* by the VM of now */
} Pinger;

static void fail(const GError *error)
{
    g_printerr("%s\n", error->message);
    exit(1);
}

static void ping(Pinger *self)
{
    guint word = cvd_region_get_data_offset(self->region);
    g_autoptr(GError) error = NULL;

    if ((!cvd_region_store(self->region, word, self->n_answers, &error) ||
         !cvd_region_signal(self->region, word, &error)) &&
        !g_error_matches(error, CVD_REGION_ERROR,
                         CVD_REGION_ERROR_CLOSED)) /* on_closed() follows */
        fail(error);
}

/* A signal says "look at that word again", no more: an old or a repeated one is no answer. */
static void on_signalled(CvdRegion *region, guint offset, Pinger *self)
{
    guint answer_at = cvd_region_get_data_offset(region) + 4, answer;

    if (offset != answer_at || !cvd_region_load(region, offset, &answer, NULL) ||
        answer != self->n_answers + 1)
        return;
    if (!self->is_answered)
        g_print("%s: the guest answers\n", cvd_region_get_name(region));
    self->is_answered = TRUE;
    if (++self->n_answers != goal)
        ping(self);
    else if (--n_busy == 0)
        g_main_loop_quit(loop);
}

static gboolean reopen(gpointer self);

static void on_reopened(GObject *object, GAsyncResult *result, gpointer data)
{
    Pinger *self = data;
    g_autoptr(GError) error = NULL;

    if (cvd_region_reopen_finish(self->region, result, &error)) {
        self->is_answered = FALSE;
        if (self->n_answers != goal)
            ping(self);
    } else if (g_error_matches(error, CVD_REGION_ERROR, CVD_REGION_ERROR_NO_SERVER) ||
               g_error_matches(error, CVD_REGION_ERROR, CVD_REGION_ERROR_CLOSED)) {
        g_timeout_add(100, reopen, self); /* no VM yet */
    } else {
        fail(error);
    }
}

static gboolean reopen(gpointer self)
{
    cvd_region_reopen_async(((Pinger *)self)->region, NULL, on_reopened, self);
    return G_SOURCE_REMOVE;
}

static void on_closed(CvdRegion *region, Pinger *self)
{
    g_print("%s: the VM has ended or restarts\n", cvd_region_get_name(region));
    reopen(self);
}

static Pinger *pinger_new(const char *socket, const char *name)
{
    Pinger *self = g_new0(Pinger, 1);
    g_autoptr(GError) error = NULL;

    self->region = cvd_region_open(socket, name, 0, NULL, &error);
    if (self->region == NULL)
        fail(error);
    g_signal_connect(self->region, "signalled", G_CALLBACK(on_signalled), self);
    g_signal_connect(self->region, "closed", G_CALLBACK(on_closed), self);
    cvd_region_start(self->region);
    ping(self);
    return self;
}

static void pinger_free(gpointer data)
{
    Pinger *self = data;

    g_print("%s: %u answers\n", cvd_region_get_name(self->region), self->n_answers);
    g_object_unref(self->region);
    g_free(self);
}

static gboolean stop(gpointer data)
{
    g_main_loop_quit(loop);
    return G_SOURCE_CONTINUE;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *socket = argc > 1 ? g_strdup(argv[1]) : cvd_find_client_socket(NULL, &error);
    g_autoptr(GArray) regions = socket != NULL ? cvd_list_regions(socket, NULL, &error) : NULL;
    g_autoptr(GPtrArray) pingers = g_ptr_array_new_with_free_func(pinger_free);

    if (regions == NULL)
        fail(error);
    loop = g_main_loop_new(NULL, FALSE);
    goal = argc > 2 ? (guint)strtoul(argv[2], NULL, 10) : 0;
    n_busy = regions->len;
    for (guint i = 0; i < regions->len; i++)
        g_ptr_array_add(pingers, pinger_new(socket, g_array_index(regions, CvdRegionInfo, i).name));
    g_unix_signal_add(SIGINT, stop, NULL);
    g_main_loop_run(loop);
    return 0;
}
