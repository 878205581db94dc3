/* SPDX-License-Identifier: Apache-2.0 */
/* Which processes are machines, and what they are called. */
#include "ctl/ctl.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define LAUNCHER "cvd-launch"
/* How many launchers of one user are looked at. */
#define MAX_OF_ONE_USER 1000

/* Each @words: a command line with spaces for zeros. */
typedef struct {
    pid_t pid, parent, session;
    const char *name;
    char state;
    const char *words;
} Process;

/* A directory that looks like /proc. */
typedef struct {
    char *dir;
    GPtrArray *files;
} Proc;

static Proc *proc_new(void)
{
    Proc *proc = g_new0(Proc, 1);

    proc->dir = g_dir_make_tmp("unit-XXXXXX", NULL);
    proc->files = g_ptr_array_new_with_free_func(g_free);
    return proc;
}

static void proc_free(Proc *proc)
{
    for (guint i = proc->files->len; i > 0; i--)
        g_remove(g_ptr_array_index(proc->files, i - 1));
    g_ptr_array_unref(proc->files);
    g_rmdir(proc->dir);
    g_free(proc->dir);
    g_free(proc);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Proc, proc_free)

static void write_file(Proc *proc, const char *dir, const char *name, const char *text)
{
    char *path = g_build_filename(dir, name, NULL);

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    g_ptr_array_add(proc->files, path);
}

static void write_words(Proc *proc, const char *dir, const char *words)
{
    char *path = g_build_filename(dir, "cmdline", NULL);
    g_autofree char *text = g_strdelimit(g_strdup(words), " ", '\0');

    g_assert_true(g_file_set_contents(path, text, (gssize)strlen(words) + 1, NULL));
    g_ptr_array_add(proc->files, path);
}

/* Returns: (transfer none): its directory */
static const char *add(Proc *proc, const Process *process)
{
    char *dir = g_strdup_printf("%s/%d", proc->dir, process->pid);
    g_autofree char *stat =
        g_strdup_printf("%d (%s) %c %d 7 %d 0 -1 4194560 98\n", process->pid, process->name,
                        process->state, process->parent, process->session);

    g_assert_no_errno(g_mkdir(dir, 0700));
    g_ptr_array_add(proc->files, dir);
    write_file(proc, dir, "stat", stat);
    write_words(proc, dir, process->words);
    return dir;
}

static void assert_listed(const Proc *proc, const char *expected)
{
    g_autoptr(GPtrArray) machines = cvd_ctl_list_processes(proc->dir);
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < machines->len; i++) {
        const CvdCtlProcess *machine = g_ptr_array_index(machines, i);
        g_string_append_printf(text, "%d %s, ", machine->pid,
                               machine->name != NULL ? machine->name : "?");
    }
    g_assert_cmpstr(text->str, ==, expected);
}

static void test_processes(void)
{
    static const Process processes[] = {
        {1, 0, 1, "init", 'S', "init"},
        {20, 1, 20, LAUNCHER, 'S', "cvd-launch -n option"},
        {21, 20, 21, "qemu-system-x86", 'S', "qemu -S -name other"},
        {22, 1, 22, LAUNCHER, 'S', "cvd-launch --name=word -c x"},
        {23, 1, 23, LAUNCHER, 'R', "cvd-launch --index 3"},
        {24, 23, 24, "timeout", 'S', "timeout 9 qemu -S -name of-qemu"},
        {25, 24, 24, "qemu-system-x86", 'S', "qemu -S -name of-qemu"},
        {26, 1, 26, LAUNCHER, 'D', "cvd-launch"},
        {27, 1, 27, LAUNCHER, 'Z', "cvd-launch -n zombie"},
        /* not the one that shows the console, but its machine; nor what is to be a program */
        {30, 1, 9, LAUNCHER, 'S', "cvd-launch -n console --console"},
        {31, 30, 31, LAUNCHER, 'S', "cvd-launch -n console --console"},
        {32, 31, 31, LAUNCHER, 'S', "cvd-launch -n console --console"},
        /* others */
        {40, 1, 40, "cvd-launcher", 'S', "cvd-launch -n longer"},
        {41, 1, 41, "xcvd-launch", 'S', "cvd-launch -n longer"},
        {42, 1, 42, "(cvd-launch)", 'S', "cvd-launch -n brackets"},
        {43, 1, 43, "cvd-launch) R 1 1 1", 'S', "cvd-launch -n brackets"},
        {44, 1, 44, "", 'S', ""},
    };
    g_autoptr(Proc) proc = proc_new();

    for (guint i = 0; i < G_N_ELEMENTS(processes); i++)
        add(proc, &processes[i]);
    assert_listed(proc, "20 option, 22 word, 23 of-qemu, 26 ?, 31 console, ");
}

/* What a user's process says of itself is a name that an instance may have, or nothing. */
static void test_claims(void)
{
    static const char *const words[] = {
        "cvd-launch -n \033[31mred", "cvd-launch -n ../../x", "cvd-launch -n",    "cvd-launch -n ",
        "cvd-launch --name=",        "cvd-launch --namex=a",  "cvd-launch -n=ab", "",
    };
    g_autoptr(Proc) proc = proc_new();
    g_autoptr(GString) expected = g_string_new(NULL);

    for (guint i = 0; i < G_N_ELEMENTS(words); i++) {
        const Process process = {10 + (pid_t)i, 1, 1, LAUNCHER, 'S', words[i]};
        add(proc, &process);
        g_string_append_printf(expected, "%d ?, ", process.pid);
    }
    assert_listed(proc, expected->str);
}

/* /proc hides what it does not let be read; and what ends meanwhile is not there any more. */
static void test_hidden(void)
{
    static const Process process = {10, 1, 10, LAUNCHER, 'S', "cvd-launch -n a"};
    g_autoptr(Proc) proc = proc_new();
    g_autofree char *none = g_build_filename(proc->dir, "none", NULL);
    const char *dir = add(proc, &process);
    g_autofree char *words = g_build_filename(dir, "cmdline", NULL);
    g_autofree char *stat = g_build_filename(dir, "stat", NULL);
    g_autoptr(GPtrArray) nothing = cvd_ctl_list_processes(none);

    g_assert_cmpuint(nothing->len, ==, 0);
    assert_listed(proc, "10 a, ");
    g_assert_no_errno(g_unlink(words));
    assert_listed(proc, "10 ?, ");
    g_assert_no_errno(g_unlink(stat));
    assert_listed(proc, "");
}

/* Who has many leaves those of others where they are. */
static void test_user_who_has_many(void)
{
    g_autoptr(Proc) proc = proc_new();
    guint n_of_first = 0;

    if (geteuid() != 0) {
        g_test_skip("needs root, to give files away");
        return;
    }
    for (pid_t i = 0; i < MAX_OF_ONE_USER + 3; i++) {
        const Process process = {10 + i, 1, 10 + i, LAUNCHER, 'S', "cvd-launch -n a"};
        const char *dir = add(proc, &process);
        g_assert_no_errno(chown(dir, i < MAX_OF_ONE_USER + 1 ? 1001 : 1000, 0));
    }
    g_autoptr(GPtrArray) machines = cvd_ctl_list_processes(proc->dir);
    for (guint i = 0; i < machines->len; i++)
        n_of_first += ((CvdCtlProcess *)g_ptr_array_index(machines, i))->uid == 1001;
    g_assert_cmpuint(n_of_first, ==, MAX_OF_ONE_USER);
    g_assert_cmpuint(machines->len, ==, MAX_OF_ONE_USER + 2);
}

static void test_users(void)
{
    g_autofree char *root = cvd_ctl_get_user(0);
    g_autofree char *nobody_knows = cvd_ctl_get_user(4000000001u);
    g_autofree char *dir = g_dir_make_tmp("unit-XXXXXX", NULL);
    g_autofree char *instance = g_build_filename(dir, "a", NULL);

    g_assert_cmpstr(root, ==, "root");
    g_assert_cmpstr(nobody_knows, ==, "4000000001");
    g_assert_cmpuint(cvd_ctl_get_owner(instance), ==, geteuid());
    g_rmdir(dir);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ctl-all-users/processes", test_processes);
    g_test_add_func("/ctl-all-users/claims", test_claims);
    g_test_add_func("/ctl-all-users/hidden", test_hidden);
    g_test_add_func("/ctl-all-users/user-who-has-many", test_user_who_has_many);
    g_test_add_func("/ctl-all-users/users", test_users);
    return g_test_run();
}
