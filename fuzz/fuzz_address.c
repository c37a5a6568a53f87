/* An address that parses is written as a text that parses to the same address. */
#include <kernel/address.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_string(data, size);
    struct kn_address address;
    struct kn_address again;
    char written[KN_ADDRESS_TEXT_BYTES];
    if (kn_address_parse(text, &address) == 0) {
        FUZZ_CHECK(kn_address_format(&address, written, sizeof(written)) > 0);
        FUZZ_CHECK(kn_address_parse(written, &again) == 0);
        FUZZ_CHECK(address.length == again.length);
        FUZZ_CHECK(memcmp(&address.storage, &again.storage, address.length) == 0);
    }
    free(text);
    return 0;
}
