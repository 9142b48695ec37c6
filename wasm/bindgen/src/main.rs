//! Generates the JavaScript half of the boundary of distributedlog-wasm.
//!
//! `distributedlog-bindgen MODULE.wasm FOLDER` reads the module that cargo built, and writes
//! `FOLDER/distributedlog.js` and `FOLDER/distributedlog_bg.wasm`.

use std::process::ExitCode;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [module, folder] = &arguments[..] else {
        eprintln!("usage: distributedlog-bindgen MODULE.wasm FOLDER");
        return ExitCode::from(2);
    };
    let mut bindgen = Bindgen::new();
    bindgen
        .input_path(module)
        .out_name("distributedlog")
        .typescript(true)
        .remove_name_section(true)
        .remove_producers_section(true);
    let written = bindgen
        .web(true)
        .and_then(|bindgen| bindgen.generate(folder));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("distributedlog-bindgen: {error:?}");
            ExitCode::FAILURE
        }
    }
}
