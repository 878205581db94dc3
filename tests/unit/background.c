/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/background.h"

#include "base/fd.h"
#include "tests/unit/child.h"

#include <sys/socket.h>

typedef struct {
    const char *name;
    const char *messages; /* CvdBackgroundMessage, in the order in which they come */
    CvdEvent expected;
} Row;

static const Row rows[] = {
    {"stop-before-it-goes", "sg", CVD_EVENT_STOP_REQUESTED},
    {"hang-up-before-it-goes", "hg", CVD_EVENT_HANGUP},
    {"stop", "gs", CVD_EVENT_STOP_REQUESTED},
};

typedef struct {
    const Row *row;
    int link;
    gboolean is_done;
    CvdEvent event;
} Machine;

static void on_stop(CvdEvent event, gpointer data)
{
    Machine *machine = data;

    machine->event = event;
    machine->is_done = TRUE;
}

static int be_machine(gconstpointer data)
{
    Machine machine = *(const Machine *)data;

    alarm(60);
    cvd_background_enter(machine.link, CVD_BACKGROUND_OUTPUT_UNTIL_READY, NULL, 0);
    cvd_background_watch(NULL, on_stop, &machine);
    while (!machine.is_done)
        g_main_context_iteration(NULL, TRUE);
    return machine.event == machine.row->expected ? 0 : 1;
}

/* A signal may come to the process in the foreground before it has heard of the other one. */
static void test_messages(gconstpointer data)
{
    const Row *row = data;
    int pair[2];

    g_assert_no_errno(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
    cvd_autofd foreground = pair[0];
    cvd_autofd link = pair[1];
    for (const char *message = row->messages; *message != '\0'; message++)
        g_assert_cmpint(send(foreground, message, 1, MSG_NOSIGNAL), ==, 1);
    test_in_child(be_machine, &(Machine){.row = row, .link = link}, NULL);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strconcat("/background/", rows[i].name, NULL);
        g_test_add_data_func(path, &rows[i], test_messages);
    }
    return g_test_run();
}
