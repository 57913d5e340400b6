/* Random bytes as Rust's standard library asks for them. Windows has this function; Debian's wine 8 lacks it.
 * For tests alone. */
#include <windows.h>
#include <ntsecapi.h>

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T length)
{
    return RtlGenRandom(data, (ULONG)length);
}
