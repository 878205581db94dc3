/* SPDX-License-Identifier: Apache-2.0 */
/* What cvd-ctl top shows, on screens of all sizes. */
#include "ctl/top-view.h"

#include <string.h>

static GPtrArray *new_look(void)
{
    return g_ptr_array_new_with_free_func((GDestroyNotify)cvd_top_instance_free);
}

static CvdTopInstance *add_instance(GPtrArray *look, const char *name, guint pid)
{
    CvdTopInstance *instance = cvd_top_instance_new(name, "running");

    instance->launcher_pid = pid;
    instance->vm_pid = pid + 1;
    instance->uptime_us = 65 * G_USEC_PER_SEC;
    instance->n_restarts = 2;
    instance->n_clients = 3;
    instance->taken_us = 0;
    g_ptr_array_add(look, instance);
    return instance;
}

static void add_region(CvdTopInstance *instance, const char *name, guint n_clients,
                       guint64 n_to_guest, guint64 n_to_host)
{
    CvdTopRegion *region = cvd_top_instance_add_region(instance, name);

    region->n_clients = n_clients;
    region->n_to_guest = n_to_guest;
    region->n_to_host = n_to_host;
}

static void add_program(CvdTopInstance *instance)
{
    const char *regions[] = {"sensors", "misc", NULL};
    CvdTopProgram *program = cvd_top_instance_add_program(instance);

    *program = (CvdTopProgram){
        .name = g_strdup("sensord"),
        .state = g_strdup("ready"),
        .reason = g_strdup(""),
        .pid = 77,
        .n_restarts = 1,
        .age_us = G_TIME_SPAN_HOUR,
        .regions = g_strdupv((char **)regions),
    };
}

/* A machine with a trace and a program, and one that has failed. */
static GPtrArray *make_look(void)
{
    GPtrArray *look = new_look();
    CvdTopInstance *phone = add_instance(look, "phone", 100);

    phone->is_traced = TRUE;
    add_program(phone);
    add_region(phone, "hwcomposer", 1, 5000, 4000);
    add_region(phone, "sensors", 0, 0, 0);
    g_ptr_array_add(look, cvd_top_instance_new("broken", "failed"));
    return look;
}

static char *format(GPtrArray *look, guint columns, guint rows)
{
    g_autoptr(GPtrArray) lines = cvd_top_format(look, "title", columns, rows);

    g_assert_cmpuint(lines->len, >, 0);
    for (guint i = 0; i < lines->len; i++)
        g_assert_cmpint(g_utf8_strlen(g_ptr_array_index(lines, i), -1), <=, columns);
    if (rows > 0)
        g_assert_cmpuint(lines->len, <=, rows);
    g_ptr_array_add(lines, NULL);
    return g_strjoinv("\n", (char **)lines->pdata);
}

static void assert_shown(GPtrArray *look, guint columns, guint rows, const char *expected)
{
    g_autofree char *text = format(look, columns, rows);

    g_assert_cmpstr(text, ==, expected);
}

static void test_80_columns(void)
{
    g_autoptr(GPtrArray) look = make_look();

    assert_shown(look, 80, 24,
                 "title\n"
                 "INSTANCE       STATE        UPTIME CLIENTS RESTARTS       VM\n"
                 "phone          running       1m 5s       3        2      101\n"
                 "  PROGRAM        STATE         SINCE RESTARTS      PID REGIONS\n"
                 "  sensord        ready         1h 0m        1       77 sensors,misc\n"
                 "  REGION           GUEST/s    HOST/s CLIENTS     TO GUEST      TO HOST\n"
                 "  hwcomposer             -         -       1         5000         4000\n"
                 "  sensors                -         -       0            0            0\n"
                 "broken         failed            -       -        -        -");
}

static void test_40_columns(void)
{
    g_autoptr(GPtrArray) look = make_look();

    assert_shown(look, 40, 24,
                 "title\n"
                 "INSTANCE       STATE        UPTIME\n"
                 "phone          running       1m 5s\n"
                 "  PROGRAM        STATE         SINCE\n"
                 "  sensord        ready         1h 0m\n"
                 "  REGION           GUEST/s    HOST/s\n"
                 "  hwcomposer             -         -\n"
                 "  sensors                -         -\n"
                 "broken         failed            -");
}

/* No line is too long, and there are not too many; format() looks at that. */
static void test_any_size(void)
{
    g_autoptr(GPtrArray) look = make_look();

    for (guint columns = 1; columns < 100; columns++)
        for (guint rows = 1; rows < 15; rows++) {
            g_autofree char *text = format(look, columns, rows);
            g_assert_cmpuint(strlen(text), >, 0);
        }
}

static void test_no_trace(void)
{
    g_autoptr(GPtrArray) look = new_look();
    CvdTopInstance *phone = add_instance(look, "phone", 100);

    add_region(phone, "hwcomposer", 2, 0, 0);
    assert_shown(look, 80, 24,
                 "title\n"
                 "INSTANCE       STATE        UPTIME CLIENTS RESTARTS       VM\n"
                 "phone          running       1m 5s       3        2      101\n"
                 "  REGION         CLIENTS\n"
                 "  hwcomposer           2");
}

static void test_nothing(void)
{
    g_autoptr(GPtrArray) look = new_look();

    assert_shown(look, 80, 24, "title");
}

/* ---- Rates ---- */

static void set_rates(GPtrArray *now, GPtrArray *before, gint64 ms)
{
    for (guint i = 0; i < now->len; i++)
        ((CvdTopInstance *)g_ptr_array_index(now, i))->taken_us = 1000 * ms;
    cvd_top_set_rates(now, before);
}

static const CvdTopRegion *get_region(GPtrArray *look, guint i)
{
    return g_ptr_array_index(((CvdTopInstance *)g_ptr_array_index(look, 0))->regions, i);
}

static void test_rates(void)
{
    g_autoptr(GPtrArray) before = make_look();
    g_autoptr(GPtrArray) now = make_look();
    CvdTopRegion *region =
        g_ptr_array_index(((CvdTopInstance *)g_ptr_array_index(now, 0))->regions, 0);

    region->n_to_guest += 100;
    region->n_to_host += 1;
    set_rates(now, before, 500);
    g_assert_cmpfloat(region->to_guest_rate, ==, 200);
    g_assert_cmpfloat(region->to_host_rate, ==, 2);
    g_assert_cmpfloat(get_region(now, 1)->to_guest_rate, ==, 0);
    g_autofree char *text = format(now, 80, 24);
    g_assert_nonnull(
        strstr(text, "\n  hwcomposer         200.0       2.0       1         5100         4001\n"));
}

/* What has no look before has no rate. */
static void test_no_rates(void)
{
    g_autoptr(GPtrArray) now = make_look();
    g_autoptr(GPtrArray) before = make_look();
    CvdTopInstance *other = g_ptr_array_index(before, 0);

    set_rates(now, NULL, 500);
    g_assert_cmpfloat(get_region(now, 0)->to_guest_rate, ==, -1);
    set_rates(now, before, 0); /* at the same moment */
    g_assert_cmpfloat(get_region(now, 0)->to_guest_rate, ==, -1);
    other->launcher_pid++; /* of an instance that was started again */
    set_rates(now, before, 500);
    g_assert_cmpfloat(get_region(now, 0)->to_guest_rate, ==, -1);
    other->launcher_pid--;
    other->is_traced = FALSE;
    set_rates(now, before, 500);
    g_assert_cmpfloat(get_region(now, 0)->to_guest_rate, ==, -1);
}

static void test_large_numbers(void)
{
    g_autoptr(GPtrArray) look = make_look();
    CvdTopRegion *region =
        g_ptr_array_index(((CvdTopInstance *)g_ptr_array_index(look, 0))->regions, 0);

    region->to_guest_rate = 99998.94;
    region->to_host_rate = 123456789;
    region->n_to_guest = G_MAXUINT64;
    g_autofree char *text = format(look, 80, 24);
    g_assert_nonnull(strstr(text, "  hwcomposer       99998.9 123456789       1 18446744073…"));
}

/* ---- What does not fit ---- */

/* The busiest are shown, then those with clients, in their order. */
static void test_many_regions(void)
{
    g_autoptr(GPtrArray) look = new_look();
    CvdTopInstance *phone = add_instance(look, "phone", 100);

    phone->is_traced = TRUE;
    for (guint i = 0; i < 1000; i++) {
        g_autofree char *name = g_strdup_printf("region%u", i);
        add_region(phone, name, i == 500 ? 1 : 0, 0, 0);
    }
    ((CvdTopRegion *)g_ptr_array_index(phone->regions, 900))->to_host_rate = 5;
    ((CvdTopRegion *)g_ptr_array_index(phone->regions, 700))->to_guest_rate = 7;
    assert_shown(look, 40, 10,
                 "title\n"
                 "INSTANCE       STATE        UPTIME\n"
                 "phone          running       1m 5s\n"
                 "  REGION           GUEST/s    HOST/s\n"
                 "  region700            7.0         -\n"
                 "  region900              -       5.0\n"
                 "  region500              -         -\n"
                 "  region0                -         -\n"
                 "  region1                -         -\n"
                 "  995 more regions");
    g_autoptr(GPtrArray) all = cvd_top_format(look, "title", 80, 0);
    g_assert_cmpuint(all->len, ==, 1004);
}

/* With room for all, and one line less. */
static void test_last_line(void)
{
    g_autoptr(GPtrArray) look = make_look();

    for (guint rows = 9; rows >= 8; rows--) {
        g_autofree char *text = format(look, 80, rows);
        g_assert_cmpint(strstr(text, "more") != NULL, ==, rows == 8);
        g_assert_nonnull(strstr(text, "broken"));
    }
}

static void test_many_instances(void)
{
    g_autoptr(GPtrArray) look = new_look();

    for (guint i = 0; i < 100; i++) {
        g_autofree char *name = g_strdup_printf("machine%u", i);
        add_region(add_instance(look, name, 100 + i), "region0", 0, 0, 0);
    }
    assert_shown(look, 40, 5,
                 "title\n"
                 "INSTANCE       STATE        UPTIME\n"
                 "machine0       running       1m 5s\n"
                 "machine1       running       1m 5s\n"
                 "  98 more lines");
}

/* ---- What instances say ---- */

static void test_text_of_others(void)
{
    g_autoptr(GPtrArray) look = new_look();
    CvdTopInstance *phone = add_instance(look, "a\033[2Jb", 100);

    g_free(phone->state);
    phone->state = g_strdup("größer als zehn");
    add_region(phone, "line\nfeed", 0, 0, 0);
    assert_shown(look, 80, 24,
                 "title\n"
                 "INSTANCE       STATE        UPTIME CLIENTS RESTARTS       VM\n"
                 "a\\u001b[2Jb    größer al…    1m 5s       3        2      101\n"
                 "  REGION         CLIENTS\n"
                 "  line\\u000afeed       0");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ctl-top-view/80-columns", test_80_columns);
    g_test_add_func("/ctl-top-view/40-columns", test_40_columns);
    g_test_add_func("/ctl-top-view/any-size", test_any_size);
    g_test_add_func("/ctl-top-view/no-trace", test_no_trace);
    g_test_add_func("/ctl-top-view/nothing", test_nothing);
    g_test_add_func("/ctl-top-view/rates", test_rates);
    g_test_add_func("/ctl-top-view/no-rates", test_no_rates);
    g_test_add_func("/ctl-top-view/large-numbers", test_large_numbers);
    g_test_add_func("/ctl-top-view/many-regions", test_many_regions);
    g_test_add_func("/ctl-top-view/last-line", test_last_line);
    g_test_add_func("/ctl-top-view/many-instances", test_many_instances);
    g_test_add_func("/ctl-top-view/text-of-others", test_text_of_others);
    return g_test_run();
}
