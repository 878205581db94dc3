/* SPDX-License-Identifier: Apache-2.0 */
/* A QEMU that the test plays says which threads its vCPUs have; these are threads of the test. */
#include "launcher/qemu/vcpus.h"

#include "base/fd.h"
#include "launcher/config/processors.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_THREADS 3

typedef struct {
    GMutex lock;
    GCond changed;
    guint n_started;
    gboolean is_over;
    pid_t ids[N_THREADS];
    GThread *threads[N_THREADS];
    CvdQmp *qmp;
    int qemu;
    char *reply; /* `ok`, or the error's message */
} Fixture;

static gpointer run(gpointer data)
{
    Fixture *f = data;

    g_mutex_lock(&f->lock);
    f->ids[f->n_started++] = gettid();
    g_cond_broadcast(&f->changed);
    while (!f->is_over)
        g_cond_wait(&f->changed, &f->lock);
    g_mutex_unlock(&f->lock);
    return NULL;
}

static void say(const Fixture *f, const char *text)
{
    g_assert_cmpint(write(f->qemu, text, strlen(text)), ==, strlen(text));
    while (g_main_context_iteration(NULL, FALSE))
        ;
}

static void ignore(gpointer data)
{
}

static void set_up(Fixture *f, gconstpointer data)
{
    static const CvdQmpHandlers handlers = {.ready = ignore};
    int pair[2];

    *f = (Fixture){0};
    g_mutex_init(&f->lock);
    g_cond_init(&f->changed);
    for (guint i = 0; i < N_THREADS; i++)
        f->threads[i] = g_thread_new("vcpu", run, f);
    g_mutex_lock(&f->lock);
    while (f->n_started < N_THREADS)
        g_cond_wait(&f->changed, &f->lock);
    g_mutex_unlock(&f->lock);
    g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
    f->qemu = pair[1];
    f->qmp = cvd_qmp_new(pair[0], &handlers, f);
    say(f, "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\n{\"return\": {}, \"id\": 1}\n");
}

static void tear_down(Fixture *f, gconstpointer data)
{
    g_mutex_lock(&f->lock);
    f->is_over = TRUE;
    g_cond_broadcast(&f->changed);
    g_mutex_unlock(&f->lock);
    for (guint i = 0; i < N_THREADS; i++)
        g_thread_join(f->threads[i]);
    cvd_qmp_free(f->qmp);
    cvd_close_fd(&f->qemu);
    g_free(f->reply);
    g_mutex_clear(&f->lock);
    g_cond_clear(&f->changed);
}

static void on_done(CvdJsonSpan result, const GError *error, gpointer data)
{
    Fixture *f = data;

    g_assert_null(f->reply);
    f->reply = g_strdup(error == NULL ? "ok" : error->message);
}

static void pin(Fixture *f, char **lists, guint id, const char *answer)
{
    g_autofree char *line = g_strdup_printf("{%s, \"id\": %u}\n", answer, id);

    g_clear_pointer(&f->reply, g_free);
    cvd_vcpus_pin(f->qmp, getpid(), lists, on_done, f);
    say(f, line);
}

static char *read_allowed(pid_t thread)
{
    static const char key[] = "\nCpus_allowed_list:\t";
    g_autofree char *path = g_strdup_printf("/proc/%d/status", thread);
    g_autofree char *status = NULL;

    g_assert_true(g_file_get_contents(path, &status, NULL, NULL));
    const char *list = strstr(status, key) + strlen(key);
    return g_strndup(list, strcspn(list, "\n"));
}

static void assert_allowed(pid_t thread, const char *expected)
{
    g_autofree char *list = read_allowed(thread);

    g_assert_cmpstr(list, ==, expected);
}

/* Returns: whether there are two to choose from */
static gboolean find_two(char **lists)
{
    CvdProcessors allowed, known = {0};

    g_assert_no_errno(cvd_processors_get_allowed(&allowed));
    for (guint i = 0; i < 2; i++) {
        int next = cvd_processors_find_other(&allowed, &known);
        if (next < 0) {
            g_test_skip("this machine has one processor");
            return FALSE;
        }
        lists[i] = g_strdup_printf("%d", next);
        cvd_processors_parse(lists[i], &known);
    }
    return TRUE;
}

static void test_each(Fixture *f, gconstpointer data)
{
    g_auto(GStrv) lists = g_new0(char *, 3);
    g_autofree char *before = read_allowed(f->ids[2]);

    if (!find_two(lists))
        return;
    g_autofree char *answer = g_strdup_printf(
        "\"return\": [{\"cpu-index\": 1, \"thread-id\": %d, \"target\": \"x86_64\"},"
        " {\"cpu-index\": 0, \"thread-id\": %d}, {\"cpu-index\": 2, \"thread-id\": %d}]",
        f->ids[1], f->ids[0], f->ids[2]);
    pin(f, lists, 2, answer);
    g_assert_cmpstr(f->reply, ==, "ok");
    assert_allowed(f->ids[0], lists[0]);
    assert_allowed(f->ids[1], lists[1]);
    assert_allowed(f->ids[2], before); /* one that was plugged in beside those of qemu.smp */
    assert_allowed(getpid(), before);
}

/* As TCG has it with `thread=single`. */
static void test_one_thread_for_two(Fixture *f, gconstpointer data)
{
    g_auto(GStrv) lists = g_new0(char *, 3);

    if (!find_two(lists))
        return;
    CvdProcessors both = {0};
    cvd_processors_parse(lists[0], &both);
    cvd_processors_parse(lists[1], &both);
    g_autofree char *list = cvd_processors_format(&both);
    g_autofree char *answer = g_strdup_printf("\"return\": [{\"cpu-index\": 0, \"thread-id\": %d},"
                                              " {\"cpu-index\": 1, \"thread-id\": %d}]",
                                              f->ids[0], f->ids[0]);
    pin(f, lists, 2, answer);
    g_assert_cmpstr(f->reply, ==, "ok");
    assert_allowed(f->ids[0], list);
}

#define SILENT "QEMU does not say which thread vCPU 0 has"

/* What QEMU may say instead. */
static const struct {
    const char *answer;
    const char *reply;
} refusals[] = {
    {"\"error\": {\"class\": \"x\", \"desc\": \"no\"}", "QEMU: no"},
    {"\"return\": {}", SILENT},
    {"\"return\": []", SILENT},
    {"\"return\": [1, null, []]", SILENT},
    {"\"return\": [{\"cpu-index\": \"0\", \"thread-id\": \"1\"}]", SILENT},
    {"\"return\": [{\"cpu-index\": 0, \"thread-id\": -1}]", SILENT},
    {"\"return\": [{\"cpu-index\": 0, \"thread-id\": 0}]", SILENT},
    {"\"return\": [{\"cpu-index\": 0, \"thread-id\": 4294967297}]", SILENT},
    {"\"return\": [{\"cpu-index\": -1, \"thread-id\": 1}]", SILENT},
    {"\"return\": [{\"cpu-index\": 1, \"thread-id\": 1}]", SILENT},
};

static void test_refusals(Fixture *f, gconstpointer data)
{
    char *lists[] = {(char *)"0", NULL};

    for (gsize i = 0; i < G_N_ELEMENTS(refusals); i++) {
        pin(f, lists, 2 + (guint)i, refusals[i].answer);
        g_assert_cmpstr(f->reply, ==, refusals[i].reply);
    }
}

/* One that has another process's thread bound. */
static void test_foreign_thread(Fixture *f, gconstpointer data)
{
    char *lists[] = {(char *)"0", NULL};
    pid_t other = fork();

    if (other == 0)
        for (;;)
            pause();
    g_assert_cmpint(other, >, 0);
    g_autofree char *before = read_allowed(other);
    g_autofree char *answer =
        g_strdup_printf("\"return\": [{\"cpu-index\": 0, \"thread-id\": %d}]", other);
    g_autofree char *reply = g_strdup_printf(
        "QEMU says that vCPU 0 has thread %d, which is none of its own (pid %d)", other, getpid());
    pin(f, lists, 2, answer);
    g_assert_cmpstr(f->reply, ==, reply);
    assert_allowed(other, before);
    g_assert_no_errno(kill(other, SIGKILL));
    g_assert_cmpint(waitpid(other, NULL, 0), ==, other);
}

static void test_absent_processor(Fixture *f, gconstpointer data)
{
    char *lists[] = {(char *)"8191", NULL};
    g_autofree char *answer =
        g_strdup_printf("\"return\": [{\"cpu-index\": 0, \"thread-id\": %d}]", f->ids[0]);

    pin(f, lists, 2, answer);
    g_assert_cmpstr(f->reply, ==, "vCPU 0 cannot be bound to 8191: Invalid argument");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *path;
        void (*test)(Fixture *f, gconstpointer data);
    } tests[] = {
        {"/vcpus/each", test_each},
        {"/vcpus/one-thread-for-two", test_one_thread_for_two},
        {"/vcpus/refusals", test_refusals},
        {"/vcpus/foreign-thread", test_foreign_thread},
        {"/vcpus/absent-processor", test_absent_processor},
    };

    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add(tests[i].path, Fixture, NULL, set_up, tests[i].test, tear_down);
    return g_test_run();
}
