/* Connection limits of the front: in all, and from one address. */
#include "tests/lib/harness.h"

#include "vmmd/front/count.c"

#include <arpa/inet.h>

static struct count_key key_of(const char *text)
{
    struct sockaddr_storage at = {0};
    struct sockaddr_in *in = (struct sockaddr_in *)&at;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&at;

    if (inet_pton(AF_INET, text, &in->sin_addr) == 1)
        at.ss_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1)
        at.ss_family = AF_INET6;
    else
        fail_msg("%s is no address", text);
    return count_key(&at);
}

static bool enter_from(const char *text)
{
    struct count_key key = key_of(text);

    return count_enter(&key);
}

static void leave_from(const char *text)
{
    struct count_key key = key_of(text);

    count_leave(&key);
}

static void one_address_gets_only_its_share(void **state)
{
    count_init(10, 2);
    assert_true(enter_from("10.0.0.1"));
    assert_true(enter_from("10.0.0.1"));
    assert_false(enter_from("10.0.0.1"));
    assert_true(enter_from("10.0.0.2"));
    leave_from("10.0.0.1");
    assert_true(enter_from("10.0.0.1"));
    assert_int_equal(count_total(), 3);
}

static void all_addresses_share_the_total(void **state)
{
    count_init(3, 2);
    assert_true(enter_from("10.0.0.1"));
    assert_true(enter_from("10.0.0.2"));
    assert_true(enter_from("10.0.0.3"));
    assert_false(enter_from("10.0.0.4"));
    leave_from("10.0.0.2");
    assert_true(enter_from("10.0.0.4"));
    leave_from("10.0.0.3");
    assert_true(enter_from("10.0.0.1"));
    assert_false(enter_from("10.0.0.1"));
}

static void an_ipv6_host_owns_its_64_bits(void **state)
{
    count_init(10, 1);
    assert_true(enter_from("2001:db8:0:1::1"));
    assert_false(enter_from("2001:db8:0:1::2"));
    assert_true(enter_from("2001:db8:0:2::1"));
}

static void a_mapped_address_is_the_ipv4_address(void **state)
{
    count_init(10, 1);
    assert_true(enter_from("10.0.0.1"));
    assert_false(enter_from("::ffff:10.0.0.1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_address_gets_only_its_share),
        cmocka_unit_test(all_addresses_share_the_total),
        cmocka_unit_test(an_ipv6_host_owns_its_64_bits),
        cmocka_unit_test(a_mapped_address_is_the_ipv4_address),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    count_init(0, 0); /* gives the table back */
    return failed;
}
