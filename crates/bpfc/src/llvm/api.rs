//! The functions of LLVM's C interface that the driver calls, looked up in a library at run time.
//!
//! Each is wrapped in a method of [`Api`] that holds the one `unsafe` block: handles are opaque newtypes that only these
//! methods make, belong to one context that lives as long as the [`super::Module`] that made it, and are never freed but by
//! [`super::Module`]'s `Drop`. The crate-private methods rely on that and are not exposed.

use std::ffi::{c_char, c_int, c_uint, c_void};

use libloading::Library;

macro_rules! handles {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(transparent)]
        pub(crate) struct $name(pub(super) *mut c_void);
        impl $name {
            #[allow(dead_code, reason = "one set of methods for all handles")]
            pub(crate) const NULL: Self = Self(std::ptr::null_mut());
            #[allow(dead_code, reason = "one set of methods for all handles")]
            pub(crate) fn get(self) -> Option<Self> { if self.0.is_null() { None } else { Some(self) } }
        }
    )*};
}

handles! {
    /// `LLVMContextRef`.
    Context,
    /// `LLVMModuleRef`.
    ModuleRef,
    /// `LLVMMemoryBufferRef`.
    Buffer,
    /// `LLVMTargetRef`.
    Target,
    /// `LLVMTargetMachineRef`.
    Machine,
    /// `LLVMTargetDataRef`.
    DataLayout,
    /// `LLVMValueRef`.
    Value,
    /// `LLVMTypeRef`.
    Type,
    /// `LLVMBasicBlockRef`.
    Block,
    /// `LLVMUseRef`.
    Use,
    /// `LLVMAttributeRef`.
    Attribute,
    /// `LLVMBuilderRef`.
    Builder,
    /// `LLVMMetadataRef`.
    Metadata,
    /// `LLVMDIBuilderRef`.
    DiBuilder,
    /// `LLVMPassBuilderOptionsRef`.
    PassOptions,
    /// `LLVMErrorRef`.
    ErrorRef,
    /// `LLVMDiagnosticInfoRef`.
    Diagnostic,
    /// `LLVMValueMetadataEntry *`.
    MetadataEntries,
}

/// Called by LLVM with each diagnostic.
pub(crate) type DiagnosticHandler = extern "C" fn(Diagnostic, *mut c_void);

macro_rules! api {
    ($($c:ident as $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)?;)*) => {
        /// The functions, resolved.
        pub(crate) struct Api { $($name: unsafe extern "C" fn($($ty),*) $(-> $ret)?,)* _library: &'static Library }

        impl Api {
            /// Looks every function up; the error names the first one that is not there.
            pub(super) fn new(library: &'static Library) -> Result<Self, String> {
                Ok(Self {
                    $($name: {
                        let symbol = concat!(stringify!($c), "\0").as_bytes();
                        // SAFETY: the signature is the one that LLVM's C header declares for this name; the library is never unloaded.
                        *unsafe { library.get::<unsafe extern "C" fn($($ty),*) $(-> $ret)?>(symbol) }.map_err(|e| e.to_string())?
                    },)*
                    _library: library,
                })
            }

            $(
                #[allow(clippy::too_many_arguments, reason = "LLVM's own signatures")]
                pub(super) fn $name(&self, $($arg: $ty),*) $(-> $ret)? {
                    // SAFETY: handles are live (see the module page), lengths and counts are those of the slices passed by `super`.
                    unsafe { (self.$name)($($arg),*) }
                }
            )*
        }
    };
}

api! {
    LLVMInitializeBPFTargetInfo as init_target_info();
    LLVMInitializeBPFTarget as init_target();
    LLVMInitializeBPFTargetMC as init_target_mc();
    LLVMInitializeBPFAsmPrinter as init_asm_printer();
    LLVMGetVersion as version(major: *mut c_uint, minor: *mut c_uint, patch: *mut c_uint);
    LLVMContextCreate as context_create() -> Context;
    LLVMContextDispose as context_dispose(c: Context);
    LLVMContextSetDiagnosticHandler as set_diagnostic_handler(c: Context, handler: DiagnosticHandler, opaque: *mut c_void);
    LLVMGetDiagInfoDescription as diagnostic_text(d: Diagnostic) -> *mut c_char;
    LLVMGetDiagInfoSeverity as diagnostic_severity(d: Diagnostic) -> c_int;
    LLVMDisposeMessage as dispose_message(s: *mut c_char);
    LLVMCreateMemoryBufferWithMemoryRangeCopy as buffer_copy(data: *const c_char, len: usize, name: *const c_char) -> Buffer;
    LLVMGetBufferStart as buffer_start(b: Buffer) -> *const c_char;
    LLVMGetBufferSize as buffer_size(b: Buffer) -> usize;
    LLVMDisposeMemoryBuffer as buffer_dispose(b: Buffer);
    LLVMParseIRInContext as parse_ir(c: Context, b: Buffer, m: *mut ModuleRef, err: *mut *mut c_char) -> c_int;
    LLVMDisposeModule as module_dispose(m: ModuleRef);
    LLVMPrintModuleToString as print_module(m: ModuleRef) -> *mut c_char;
    LLVMVerifyModule as verify_module(m: ModuleRef, action: c_int, err: *mut *mut c_char) -> c_int;
    LLVMSetTarget as set_target(m: ModuleRef, triple: *const c_char);
    LLVMGetTargetFromTriple as target_from_triple(triple: *const c_char, t: *mut Target, err: *mut *mut c_char) -> c_int;
    LLVMCreateTargetMachine as create_machine(t: Target, triple: *const c_char, cpu: *const c_char, features: *const c_char, level: c_int, reloc: c_int, model: c_int) -> Machine;
    LLVMDisposeTargetMachine as dispose_machine(m: Machine);
    LLVMCreateTargetDataLayout as create_data_layout(m: Machine) -> DataLayout;
    LLVMSetModuleDataLayout as set_data_layout(m: ModuleRef, d: DataLayout);
    LLVMDisposeTargetData as dispose_data_layout(d: DataLayout);
    LLVMTargetMachineEmitToMemoryBuffer as emit(t: Machine, m: ModuleRef, kind: c_int, err: *mut *mut c_char, out: *mut Buffer) -> c_int;
    LLVMCreatePassBuilderOptions as pass_options() -> PassOptions;
    LLVMDisposePassBuilderOptions as dispose_pass_options(o: PassOptions);
    LLVMRunPasses as run_passes(m: ModuleRef, passes: *const c_char, t: Machine, o: PassOptions) -> ErrorRef;
    LLVMGetErrorMessage as error_message(e: ErrorRef) -> *mut c_char;
    LLVMDisposeErrorMessage as dispose_error_message(s: *mut c_char);
    LLVMGetFirstFunction as first_function(m: ModuleRef) -> Value;
    LLVMGetNextFunction as next_function(v: Value) -> Value;
    LLVMGetFirstGlobal as first_global(m: ModuleRef) -> Value;
    LLVMGetNextGlobal as next_global(v: Value) -> Value;
    LLVMGetNamedFunction as named_function(m: ModuleRef, name: *const c_char) -> Value;
    LLVMGetSection as section(v: Value) -> *const c_char;
    LLVMBuildIntToPtr as build_int_to_ptr(b: Builder, v: Value, ty: Type, name: *const c_char) -> Value;
    LLVMBuildAddrSpaceCast as build_address_space_cast(b: Builder, v: Value, ty: Type, name: *const c_char) -> Value;
    LLVMIsNull as is_null(v: Value) -> c_int;
    LLVMGetAlignment as alignment(v: Value) -> c_uint;
    LLVMSetAlignment as set_alignment(v: Value, bytes: c_uint);
    LLVMGlobalCopyAllMetadata as global_metadata(v: Value, n: *mut usize) -> MetadataEntries;
    LLVMValueMetadataEntriesGetKind as entry_kind(e: MetadataEntries, i: c_uint) -> c_uint;
    LLVMValueMetadataEntriesGetMetadata as entry_metadata(e: MetadataEntries, i: c_uint) -> Metadata;
    LLVMDisposeValueMetadataEntries as dispose_entries(e: MetadataEntries);
    LLVMGlobalSetMetadata as set_global_metadata(v: Value, kind: c_uint, m: Metadata);
    LLVMDeleteGlobal as delete_global(v: Value);
    LLVMDeleteFunction as delete_function(f: Value);
    LLVMGetFirstBasicBlock as first_block(f: Value) -> Block;
    LLVMGetNextBasicBlock as next_block(b: Block) -> Block;
    LLVMGetFirstInstruction as first_instruction(b: Block) -> Value;
    LLVMGetNextInstruction as next_instruction(v: Value) -> Value;
    LLVMGetFirstUse as first_use(v: Value) -> Use;
    LLVMGetNextUse as next_use(u: Use) -> Use;
    LLVMGetUser as user(u: Use) -> Value;
    LLVMSetValueName2 as set_value_name(v: Value, name: *const c_char, len: usize);
    LLVMGetValueName2 as value_name(v: Value, len: *mut usize) -> *const c_char;
    LLVMIsAGlobalVariable as as_global(v: Value) -> Value;
    LLVMGetInitializer as initializer(v: Value) -> Value;
    LLVMGetNumOperands as nr_operands(v: Value) -> c_int;
    LLVMIsConstantString as is_string(v: Value) -> c_int;
    LLVMIsAConstantDataSequential as as_data(v: Value) -> Value;
    LLVMGetAsString as string_bytes(v: Value, len: *mut usize) -> *const c_char;
    LLVMIsDeclaration as is_declaration(v: Value) -> c_int;
    LLVMSetSection as set_section(v: Value, section: *const c_char);
    LLVMGetLinkage as linkage(v: Value) -> c_int;
    LLVMSetLinkage as set_linkage(v: Value, linkage: c_int);
    LLVMGlobalGetValueType as value_type(v: Value) -> Type;
    LLVMGetReturnType as return_type(f: Type) -> Type;
    LLVMTypeOf as type_of(v: Value) -> Type;
    LLVMAddFunction as add_function(m: ModuleRef, name: *const c_char, ty: Type) -> Value;
    LLVMAddGlobal as add_global(m: ModuleRef, ty: Type, name: *const c_char) -> Value;
    LLVMGetNamedGlobal as named_global(m: ModuleRef, name: *const c_char) -> Value;
    LLVMArrayType2 as array_type(element: Type, n: u64) -> Type;
    LLVMSetInitializer as set_initializer(v: Value, init: Value);
    LLVMSetGlobalConstant as set_constant(v: Value, yes: c_int);
    LLVMGetInstructionOpcode as opcode(v: Value) -> c_int;
    LLVMGetOrdering as ordering(v: Value) -> c_int;
    LLVMSetOrdering as set_ordering(v: Value, ordering: c_int);
    LLVMSetVolatile as set_volatile(v: Value, yes: c_int);
    LLVMIsAtomicSingleThread as is_single_thread(v: Value) -> c_int;
    LLVMGetAtomicRMWBinOp as rmw_operation(v: Value) -> c_int;
    LLVMGetTypeKind as type_kind(t: Type) -> c_int;
    LLVMGetIntTypeWidth as int_width(t: Type) -> c_uint;
    LLVMGetBasicBlockTerminator as terminator(b: Block) -> Value;
    LLVMGetNumSuccessors as nr_successors(v: Value) -> c_uint;
    LLVMGetSuccessor as successor(v: Value, i: c_uint) -> Block;
    LLVMIsAConstant as as_constant(v: Value) -> Value;
    LLVMIsAInlineAsm as as_asm(v: Value) -> Value;
    LLVMGetInlineAsmAsmString as asm_text(v: Value, len: *mut usize) -> *const c_char;
    LLVMIsACallInst as as_call(v: Value) -> Value;
    LLVMIsAFunction as as_function(v: Value) -> Value;
    LLVMGetCalledValue as called_value(v: Value) -> Value;
    LLVMGetCalledFunctionType as called_type(v: Value) -> Type;
    LLVMCountParams as nr_params(f: Value) -> c_uint;
    LLVMGetParam as param(f: Value, i: c_uint) -> Value;
    LLVMGetNumArgOperands as nr_args(v: Value) -> c_uint;
    LLVMGetOperand as operand(v: Value, i: c_uint) -> Value;
    LLVMReplaceAllUsesWith as replace_all_uses(v: Value, with: Value);
    LLVMInstructionEraseFromParent as erase(v: Value);
    LLVMGetEnumAttributeKindForName as attribute_kind(name: *const c_char, len: usize) -> c_uint;
    LLVMCreateTypeAttribute as type_attribute(c: Context, kind: c_uint, ty: Type) -> Attribute;
    LLVMCreateEnumAttribute as enum_attribute(c: Context, kind: c_uint, value: u64) -> Attribute;
    LLVMAddAttributeAtIndex as add_attribute(f: Value, index: c_uint, a: Attribute);
    LLVMAddCallSiteAttribute as add_call_attribute(call: Value, index: c_uint, a: Attribute);
    LLVMRemoveCallSiteEnumAttribute as remove_call_attribute(call: Value, index: c_uint, kind: c_uint);
    LLVMRemoveEnumAttributeAtIndex as remove_enum_attribute(f: Value, index: c_uint, kind: c_uint);
    LLVMRemoveStringAttributeAtIndex as remove_string_attribute(f: Value, index: c_uint, key: *const c_char, len: c_uint);
    LLVMIntTypeInContext as int_type(c: Context, bits: c_uint) -> Type;
    LLVMPointerTypeInContext as pointer_type(c: Context, space: c_uint) -> Type;
    LLVMStructTypeInContext as struct_type(c: Context, elements: *const Type, n: c_uint, packed: c_int) -> Type;
    LLVMVoidTypeInContext as void_type(c: Context) -> Type;
    LLVMFunctionType as function_type(ret: Type, params: *const Type, n: c_uint, variadic: c_int) -> Type;
    LLVMConstInt as const_int(t: Type, n: u64, sign: c_int) -> Value;
    LLVMConstNull as const_null(t: Type) -> Value;
    LLVMConstIntToPtr as const_int_to_ptr(v: Value, t: Type) -> Value;
    LLVMConstStringInContext2 as const_string(c: Context, s: *const c_char, len: usize, no_nul: c_int) -> Value;
    LLVMCreateBuilderInContext as create_builder(c: Context) -> Builder;
    LLVMDisposeBuilder as dispose_builder(b: Builder);
    LLVMPositionBuilderBefore as position_before(b: Builder, v: Value);
    LLVMSetCurrentDebugLocation2 as set_location(b: Builder, loc: Metadata);
    LLVMBuildCall2 as build_call(b: Builder, ty: Type, f: Value, args: *const Value, n: c_uint, name: *const c_char) -> Value;
    LLVMBuildICmp as build_icmp(b: Builder, predicate: c_int, l: Value, r: Value, name: *const c_char) -> Value;
    LLVMBuildUDiv as build_udiv(b: Builder, l: Value, r: Value, name: *const c_char) -> Value;
    LLVMBuildIntCast2 as build_int_cast(b: Builder, v: Value, t: Type, signed: c_int, name: *const c_char) -> Value;
    LLVMLookupIntrinsicID as intrinsic_id(name: *const c_char, len: usize) -> c_uint;
    LLVMGetIntrinsicDeclaration as intrinsic(m: ModuleRef, id: c_uint, types: *const Type, n: usize) -> Value;
    LLVMGetMDKindIDInContext as metadata_kind(c: Context, name: *const c_char, len: c_uint) -> c_uint;
    LLVMMetadataAsValue as metadata_as_value(c: Context, m: Metadata) -> Value;
    LLVMSetMetadata as set_metadata(v: Value, kind: c_uint, m: Value);
    LLVMMetadataReplaceAllUsesWith as metadata_replace(temporary: Metadata, with: Metadata);
    LLVMSetSubprogram as set_subprogram(f: Value, sp: Metadata);
    LLVMInstructionGetDebugLoc as location(v: Value) -> Metadata;
    LLVMInstructionSetDebugLoc as relocate(v: Value, loc: Metadata);
    LLVMDILocationGetLine as location_line(m: Metadata) -> c_uint;
    LLVMDILocationGetColumn as location_column(m: Metadata) -> c_uint;
    LLVMDILocationGetScope as location_scope(m: Metadata) -> Metadata;
    LLVMDILocationGetInlinedAt as location_inlined_at(m: Metadata) -> Metadata;
    LLVMDIScopeGetFile as scope_file(m: Metadata) -> Metadata;
    LLVMDIFileGetFilename as file_name(m: Metadata, len: *mut c_uint) -> *const c_char;
    LLVMDIFileGetDirectory as file_directory(m: Metadata, len: *mut c_uint) -> *const c_char;
    LLVMCreateDIBuilder as di_builder(m: ModuleRef) -> DiBuilder;
    LLVMDIBuilderFinalize as di_finalize(d: DiBuilder);
    LLVMDisposeDIBuilder as di_dispose(d: DiBuilder);
    LLVMDIBuilderCreateCompileUnit as di_unit(d: DiBuilder, lang: c_int, file: Metadata, producer: *const c_char, producer_len: usize, optimized: c_int, flags: *const c_char, flags_len: usize, runtime: c_uint, split: *const c_char, split_len: usize, kind: c_int, id: c_uint, split_inlining: c_int, profiling: c_int, sysroot: *const c_char, sysroot_len: usize, sdk: *const c_char, sdk_len: usize) -> Metadata;
    LLVMDIBuilderCreateFile as di_file(d: DiBuilder, name: *const c_char, len: usize, dir: *const c_char, dir_len: usize) -> Metadata;
    LLVMDIBuilderCreateBasicType as di_basic(d: DiBuilder, name: *const c_char, len: usize, bits: u64, encoding: c_uint, flags: c_int) -> Metadata;
    LLVMDIBuilderCreatePointerType as di_pointer(d: DiBuilder, pointee: Metadata, bits: u64, align: u32, space: c_uint, name: *const c_char, len: usize) -> Metadata;
    LLVMDIBuilderCreateArrayType as di_array(d: DiBuilder, bits: u64, align: u32, element: Metadata, subscripts: *const Metadata, n: c_uint) -> Metadata;
    LLVMDIBuilderGetOrCreateSubrange as di_subrange(d: DiBuilder, low: i64, count: i64) -> Metadata;
    LLVMDIBuilderCreateMemberType as di_member(d: DiBuilder, scope: Metadata, name: *const c_char, len: usize, file: Metadata, line: c_uint, bits: u64, align: u32, offset: u64, flags: c_int, ty: Metadata) -> Metadata;
    LLVMDIBuilderCreateReplaceableCompositeType as di_replaceable(d: DiBuilder, tag: c_uint, name: *const c_char, len: usize, scope: Metadata, file: Metadata, line: c_uint, lang: c_uint, bits: u64, align: u32, flags: c_int, id: *const c_char, id_len: usize) -> Metadata;
    LLVMDIBuilderCreateStructType as di_struct(d: DiBuilder, scope: Metadata, name: *const c_char, len: usize, file: Metadata, line: c_uint, bits: u64, align: u32, flags: c_int, derived: Metadata, elements: *const Metadata, n: c_uint, lang: c_uint, vtable: Metadata, id: *const c_char, id_len: usize) -> Metadata;
    LLVMDIBuilderCreateEnumerator as di_enumerator(d: DiBuilder, name: *const c_char, len: usize, value: i64, unsigned: c_int) -> Metadata;
    LLVMDIBuilderCreateEnumerationType as di_enumeration(d: DiBuilder, scope: Metadata, name: *const c_char, len: usize, file: Metadata, line: c_uint, bits: u64, align: u32, elements: *const Metadata, n: c_uint, class: Metadata) -> Metadata;
    LLVMDIBuilderCreateSubroutineType as di_subroutine(d: DiBuilder, file: Metadata, types: *const Metadata, n: c_uint, flags: c_int) -> Metadata;
    LLVMDIBuilderCreateQualifiedType as di_qualified(d: DiBuilder, tag: c_uint, ty: Metadata) -> Metadata;
    LLVMDIBuilderCreateExpression as di_expression(d: DiBuilder, words: *const u64, n: usize) -> Metadata;
    LLVMDIBuilderCreateGlobalVariableExpression as di_global(d: DiBuilder, scope: Metadata, name: *const c_char, len: usize, linkage: *const c_char, linkage_len: usize, file: Metadata, line: c_uint, ty: Metadata, local: c_int, expression: Metadata, declaration: Metadata, align: u32) -> Metadata;
    LLVMDIBuilderCreateFunction as di_function(d: DiBuilder, scope: Metadata, name: *const c_char, len: usize, linkage: *const c_char, linkage_len: usize, file: Metadata, line: c_uint, ty: Metadata, local: c_int, definition: c_int, scope_line: c_uint, flags: c_int, optimized: c_int) -> Metadata;
}
